"""Index users by lower(email_v2), once per address.

What running code sees: nothing; code of after needs it to sign people in. Built CONCURRENTLY: SHARE
UPDATE EXCLUSIVE on users, two scans, and a wait for every older transaction. It is an autocommit
operation, so it is the only one here.
"""

from collections.abc import Sequence

from shippyard.migration import ops

revision: str = "009"
down_revision: str | Sequence[str] | None = "008"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    # sign-in: WHERE lower(email_v2) = lower($1); one account per address however it is written
    ops.create_index_concurrently(
        "uq_users_lower_email_v2", "users", ["lower(email_v2)"], unique=True
    )


def downgrade() -> None:
    ops.drop_index_concurrently("uq_users_lower_email_v2")
