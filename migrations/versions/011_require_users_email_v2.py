"""Require users.email_v2. From here on code of after may be deployed.

What running code sees: both columns hold the same in every row, whichever of them is written.
ACCESS EXCLUSIVE on users for three moments, and between them one scan under SHARE UPDATE
EXCLUSIVE.
"""

from collections.abc import Sequence

from alembic import op

from shippyard.migration import ops

revision: str = "011"
down_revision: str | Sequence[str] | None = "010"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    ops.add_not_null("users", "email_v2")


def downgrade() -> None:
    op.alter_column("users", "email_v2", nullable=True)
