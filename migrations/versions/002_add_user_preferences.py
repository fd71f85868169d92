"""Add user preferences.

What running code sees: a new, empty table. Code of before knows nothing of it; code of after reads
"no row" as the defaults. The foreign key takes SHARE ROW EXCLUSIVE on users for a moment and scans
nothing, because the new table is empty. A downgrade drops what people chose.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "002"
down_revision: str | Sequence[str] | None = "001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "user_preferences",
        sa.Column("user_id", sa.Uuid(), nullable=False, comment="Whose they are"),
        sa.Column(
            "language",
            sa.Text(),
            server_default="en",
            nullable=False,
            comment="BCP 47 language tag",
        ),
        sa.Column(
            "currency",
            sa.CHAR(length=3),
            server_default="EUR",
            nullable=False,
            comment="ISO 4217; prices are shown in it",
        ),
        sa.Column(
            "units",
            sa.Text(),
            server_default="metric",
            nullable=False,
            comment="metric or imperial",
        ),
        sa.Column(
            "notify_by_email",
            sa.Boolean(),
            server_default=sa.text("true"),
            nullable=False,
            comment="Writes when a shipment moves",
        ),
        sa.Column(
            "notify_by_sms",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="The same, to the phone",
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="Set by the application with every change",
        ),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_user_preferences_currency")),
        sa.CheckConstraint(
            "units IN ('metric', 'imperial')", name=op.f("ck_user_preferences_units")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name=op.f("fk_user_preferences_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_user_preferences")),
        comment="How a person wants to be shown and told things; no row means the defaults",
    )


def downgrade() -> None:
    op.drop_table("user_preferences")
