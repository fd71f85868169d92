"""Fill users.subscription_tier: 'business' for a company's people, 'basic' for all others.

What running code sees: values that appear, batch by batch. Each batch is a transaction that locks
some thousand rows for some ten milliseconds, and slows down when anyone waits or a replica lags.
What code of after has written meanwhile is left alone.

It can be stopped and goes on where it was. A downgrade leaves the values, which 003 takes away with
the column, and forgets how far it came.
"""

from collections.abc import Sequence

from shippyard.migration import ops

revision: str = "004"
down_revision: str | Sequence[str] | None = "003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    ops.backfill(
        "users_subscription_tier",
        "users",
        {"subscription_tier": "CASE WHEN company_id IS NULL THEN 'basic' ELSE 'business' END"},
        where="subscription_tier IS NULL",
    )


def downgrade() -> None:
    ops.forget_backfill("users_subscription_tier")
