"""Rehearsals, approvals, records of other environments, and which way a run went."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("runs") as runs:
        runs.add_column(sa.Column("plan_hash", sa.String(), nullable=True))
        runs.add_column(sa.Column("way", sa.String(), nullable=False, server_default="up"))
        runs.add_column(sa.Column("of_run", sa.String(), nullable=True))
    with op.batch_alter_table("runs") as runs:
        runs.alter_column("way", server_default=None)
    op.create_table(
        "approvals",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("database", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("plan_hash", sa.String(), nullable=False),
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.Column("uid", sa.Integer(), nullable=False),
        sa.Column("user", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("overrides", sa.JSON(), nullable=False),
        sa.Column("expires_at", sa.String(32), nullable=False),
        sa.Column("spent_by", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approvals")),
    )
    op.create_index("ix_approvals_database_plan_hash", "approvals", ["database", "plan_hash"])
    op.create_table(
        "attestations",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.Column("environment", sa.String(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("received_at", sa.String(32), nullable=False),
        sa.Column("expires_at", sa.String(32), nullable=False),
        sa.Column("envelope", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attestations")),
    )
    op.create_index(
        "ix_attestations_content_hash_environment", "attestations", ["content_hash", "environment"]
    )
    op.create_table(
        "rehearsals",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("database", sa.String(), nullable=False),
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.Column("from_revision", sa.String(), nullable=True),
        sa.Column("to_revision", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=True),
        sa.Column("backup_id", sa.String(), nullable=True),
        sa.Column("started_at", sa.String(32), nullable=False),
        sa.Column("finished_at", sa.String(32), nullable=True),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.Column("report_hash", sa.String(), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rehearsals")),
    )
    op.create_index(
        "ix_rehearsals_database_content_hash_started_at",
        "rehearsals",
        ["database", "content_hash", "started_at"],
    )


def downgrade() -> None:
    for table in ("rehearsals", "attestations", "approvals"):
        op.drop_table(table)
    with op.batch_alter_table("runs") as runs:
        for column in ("of_run", "way", "plan_hash"):
            runs.drop_column(column)
