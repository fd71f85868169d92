"""Add users.country_code: where a person pays taxes, unknown until they say so.

What running code sees: code of before nothing. ACCESS EXCLUSIVE on users for a moment; no row is
looked at. A downgrade drops what people said.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "014"
down_revision: str | Sequence[str] | None = "013"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column(
        "users",
        sa.Column(
            "country_code", sa.CHAR(length=2), nullable=True, comment="Where the person pays taxes"
        ),
    )


def downgrade() -> None:
    op.drop_column("users", "country_code")
