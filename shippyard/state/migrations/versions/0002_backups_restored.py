"""Copies off the machine, drills, gaps in WAL, and single facts that must survive a restart."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("backups") as backups:
        backups.add_column(sa.Column("parent", sa.String(), nullable=True))
        backups.add_column(sa.Column("replicated_at", sa.String(32), nullable=True))
        backups.add_column(sa.Column("drilled_at", sa.String(32), nullable=True))
    op.create_table(
        "copies",
        sa.Column("backup_id", sa.String(), nullable=False),
        sa.Column("place", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("database", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=True),
        sa.Column("started_at", sa.String(32), nullable=False),
        sa.Column("verified_at", sa.String(32), nullable=True),
        sa.Column("key_ids", sa.JSON(), nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("backup_id", "place", name=op.f("pk_copies")),
    )
    op.create_table(
        "drills",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("backup_id", sa.String(), nullable=False),
        sa.Column("database", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("started_at", sa.String(32), nullable=False),
        sa.Column("finished_at", sa.String(32), nullable=True),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("rto_s", sa.Float(), nullable=True),
        sa.Column("rpo_cluster_s", sa.Float(), nullable=True),
        sa.Column("rpo_machine_s", sa.Float(), nullable=True),
        sa.Column("size_bytes", sa.Integer(), nullable=True),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drills")),
    )
    op.create_index(
        "ix_drills_database_kind_started_at", "drills", ["database", "kind", "started_at"]
    )
    op.create_table(
        "notes",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_notes")),
    )
    op.create_table(
        "wal_gaps",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("timeline", sa.Integer(), nullable=False),
        sa.Column("first_segment", sa.String(), nullable=False),
        sa.Column("last_segment", sa.String(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("found_at", sa.String(32), nullable=False),
        sa.Column("closed_at", sa.String(32), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_wal_gaps")),
    )
    op.create_index("ix_wal_gaps_subject_closed_at", "wal_gaps", ["subject", "closed_at"])


def downgrade() -> None:
    for table in ("wal_gaps", "notes", "drills", "copies"):
        op.drop_table(table)
    with op.batch_alter_table("backups") as backups:
        for column in ("drilled_at", "replicated_at", "parent"):
            backups.drop_column(column)
