"""Add companies.vat_number, unknown until a company says so.

What running code sees: code of before nothing. ACCESS EXCLUSIVE on companies for a moment; no row
is looked at. A downgrade drops what companies said.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "017"
down_revision: str | Sequence[str] | None = "016"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column(
        "companies",
        sa.Column(
            "vat_number",
            sa.Text(),
            nullable=True,
            comment="With its country's letters, as invoices show it",
        ),
    )


def downgrade() -> None:
    op.drop_column("companies", "vat_number")
