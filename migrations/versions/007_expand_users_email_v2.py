"""Expand: add users.email_v2 beside email, and keep the two in step.

`email` has no bound; mail systems stop at 320 characters, and what is exported to them must fit.

What running code sees: code of before reads and writes `email` and knows nothing else. Whatever it
writes from now on is in email_v2 too, and the other way round, so code of after may be deployed
once 011 says that every row has a value. ACCESS EXCLUSIVE on users for a moment; no row is looked
at.

A downgrade drops the column; nothing is lost, because `email` has it all.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from shippyard.migration import ops

revision: str = "007"
down_revision: str | Sequence[str] | None = "006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column(
        "users",
        sa.Column(
            "email_v2",
            sa.Text(),
            nullable=True,
            comment="Where the person is written to, 320 characters at most; signs in with it",
        ),
    )
    ops.dual_write("users", "email", "email_v2")


def downgrade() -> None:
    ops.drop_dual_write("users", "email", "email_v2")
    op.drop_column("users", "email_v2")
