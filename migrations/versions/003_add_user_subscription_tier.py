"""Add users.subscription_tier, empty for those who are there.

What running code sees: code of before neither reads nor writes the column; its new rows become
'basic'. Code of after must take "no value" for "not known yet" until 006. The default is set apart
from the column, so that it holds for new rows only: who is there gets what 004 works out.

Both statements take ACCESS EXCLUSIVE on users for a moment and look at no row. A downgrade drops
the column and with it what people were sold; export it first if it was used.
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
            nullable=True,
            comment="What the person pays for: basic, plus or business",
        ),
    )
    op.alter_column("users", "subscription_tier", server_default="basic")


def downgrade() -> None:
    op.drop_column("users", "subscription_tier")
