"""What incidents are about, who has taken them on, and what is silenced."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("incidents") as incidents:
        incidents.add_column(sa.Column("subject", sa.String(), nullable=False, server_default=""))
        incidents.add_column(sa.Column("acked_at", sa.String(32), nullable=True))
        incidents.add_column(sa.Column("acked_by", sa.String(), nullable=True))
        incidents.add_column(sa.Column("ack_note", sa.String(), nullable=True))
    op.create_table(
        "silences",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("match", sa.JSON(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("made_by", sa.String(), nullable=False),
        sa.Column("begins_at", sa.String(32), nullable=False),
        sa.Column("ends_at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_silences")),
    )
    op.create_index("ix_silences_ends_at", "silences", ["ends_at"])


def downgrade() -> None:
    op.drop_table("silences")
    with op.batch_alter_table("incidents") as incidents:
        for column in ("ack_note", "acked_by", "acked_at", "subject"):
            incidents.drop_column(column)
