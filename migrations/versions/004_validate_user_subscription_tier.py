"""Validate the check on users.subscription_tier.

What running code sees: nothing. The scan holds SHARE UPDATE EXCLUSIVE, which lets everyone read and
write; it stands in a revision of its own so that no stronger lock of 003 is held through it.

A downgrade makes the check NOT VALID again, as 003 left it: dropped and added in one transaction,
under ACCESS EXCLUSIVE for a moment, so that no row slips in between.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "004"
down_revision: str | Sequence[str] | None = "003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.execute("ALTER TABLE users VALIDATE CONSTRAINT ck_users_subscription_tier")


def downgrade() -> None:
    op.drop_constraint(op.f("ck_users_subscription_tier"), "users", type_="check")
    op.create_check_constraint(
        op.f("ck_users_subscription_tier"),
        "users",
        "subscription_tier IN ('basic', 'plus', 'business')",
        postgresql_not_valid=True,
    )
