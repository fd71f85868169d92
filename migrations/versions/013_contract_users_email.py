"""Contract: drop users.email and the trigger that kept it in step.

What running code sees: code of after nothing; code of before would fail, and is gone since 012.
The column goes on being called email_v2: giving it the old name would break whoever reads it now.
ACCESS EXCLUSIVE on users for a moment; the bytes in old rows go as the rows are written again.

A downgrade loses nothing, because email_v2 has it all: the column comes back as the last one of the
table, with its trigger, is filled in batches, checked and required. Steps that are done are left
alone when it is run again.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from shippyard.migration import ops

revision: str = "013"
down_revision: str | Sequence[str] | None = "012"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    ops.drop_dual_write("users", "email", "email_v2")
    op.drop_column("users", "email")  # its check goes with it


def downgrade() -> None:
    if not _is_back():
        op.add_column(
            "users",
            sa.Column(
                "email",
                sa.Text(),
                nullable=True,
                comment="Where the person is written to; signs in with it",
            ),
        )
        ops.dual_write("users", "email", "email_v2")
    ops.backfill("users_email_back", "users", {"email": "email_v2"}, where="email IS NULL")
    ops.add_check("ck_users_email", "users", "position('@' in email) > 1")
    ops.add_not_null("users", "email")
    ops.forget_backfill("users_email_back")


def _is_back() -> bool:
    """True when an interrupted downgrade has brought the column back."""
    if op.get_context().as_sql:
        return False
    columns = sa.inspect(op.get_bind()).get_columns("users")
    return any(column["name"] == "email" for column in columns)
