"""Add users.subscription_tier, 'basic' for everyone who is there.

What running code sees: code of before neither reads nor writes the column, and its new rows become
'basic'. Code of after finds a value in every row at once: a constant default is kept in the
catalog, so no row is written and NOT NULL needs no scan. That is why there is no UPDATE here.

The check is NOT VALID: from now on it holds for what is written, and 004 looks at the old rows
without stopping anyone. Both statements take ACCESS EXCLUSIVE on users for a moment only.

A downgrade drops the column and with it what people were sold; export it first if it was used.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "003"
down_revision: str | Sequence[str] | None = "002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column(
        "users",
        sa.Column(
            "subscription_tier",
            sa.Text(),
            server_default="basic",
            nullable=False,
            comment="What the person pays for: basic, plus or business",
        ),
    )
    op.create_check_constraint(
        op.f("ck_users_subscription_tier"),
        "users",
        "subscription_tier IN ('basic', 'plus', 'business')",
        postgresql_not_valid=True,
    )


def downgrade() -> None:
    op.drop_column("users", "subscription_tier")  # its check goes with it
