"""Require users.subscription_tier.

What running code sees: a value in every row. A write of no value is refused; code of before does
not name the column and gets the default. ACCESS EXCLUSIVE on users for three moments, and between
them one scan under SHARE UPDATE EXCLUSIVE, which lets everyone read and write.
"""

from collections.abc import Sequence

from alembic import op

from shippyard.migration import ops

revision: str = "006"
down_revision: str | Sequence[str] | None = "005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    ops.add_not_null("users", "subscription_tier")


def downgrade() -> None:
    op.alter_column("users", "subscription_tier", nullable=True)
