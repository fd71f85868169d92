"""Fill users.email_v2 from email.

What running code sees: nothing, it still reads `email`. Batches as in 004; a row whose e-mail
changes meanwhile is filled by the trigger of 007. A downgrade leaves the values and forgets how
far it came.
"""

from collections.abc import Sequence

from shippyard.migration import ops

revision: str = "008"
down_revision: str | Sequence[str] | None = "007"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    ops.backfill("users_email_v2", "users", {"email_v2": "email"}, where="email_v2 IS NULL")


def downgrade() -> None:
    ops.forget_backfill("users_email_v2")
