"""Index users.country_code, before it points at countries.

What running code sees: nothing. Without it every delete of a country would scan users. Built
CONCURRENTLY: SHARE UPDATE EXCLUSIVE on users, two scans, and a wait for every older transaction.
"""

from collections.abc import Sequence

from shippyard.migration import ops

revision: str = "015"
down_revision: str | Sequence[str] | None = "014"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    ops.create_index_concurrently("ix_users_country_code", "users", ["country_code"])


def downgrade() -> None:
    ops.drop_index_concurrently("ix_users_country_code")
