"""Check users.subscription_tier: it is basic, plus or business.

What running code sees: a write of any other word is refused from the first moment. ACCESS EXCLUSIVE
on users for a moment, then a scan under SHARE UPDATE EXCLUSIVE, which lets everyone read and write.
"""

from collections.abc import Sequence

from alembic import op

from shippyard.migration import ops

revision: str = "005"
down_revision: str | Sequence[str] | None = "004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    ops.add_check(
        "ck_users_subscription_tier", "users", "subscription_tier IN ('basic', 'plus', 'business')"
    )


def downgrade() -> None:
    op.drop_constraint(op.f("ck_users_subscription_tier"), "users", type_="check")
