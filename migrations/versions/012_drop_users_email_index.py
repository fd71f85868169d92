"""Contract: drop the index on users.email, which nobody reads by any more.

Run it when the last code of before is gone: it would sign people in by a scan of the whole table.
Code of after sees nothing; two accounts with one address are still refused, by the index of 009.
Dropped CONCURRENTLY: SHARE UPDATE EXCLUSIVE on users, and a wait for transactions that may use it.
A downgrade builds it again the same way.
"""

from collections.abc import Sequence

from shippyard.migration import ops

revision: str = "012"
down_revision: str | Sequence[str] | None = "011"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    ops.drop_index_concurrently("uq_users_lower_email")


def downgrade() -> None:
    # sign-in: WHERE lower(email) = lower($1); one account per address however it is written
    ops.create_index_concurrently("uq_users_lower_email", "users", ["lower(email)"], unique=True)
