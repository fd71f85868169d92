"""Make companies.vat_number unique: one company for each.

What running code sees: a second company with the same number is refused. Its index is built
CONCURRENTLY (SHARE UPDATE EXCLUSIVE on companies, and a wait for every older transaction), then
made a constraint under ACCESS EXCLUSIVE for a moment. A downgrade drops both.
"""

from collections.abc import Sequence

from alembic import op

from shippyard.migration import ops

revision: str = "018"
down_revision: str | Sequence[str] | None = "017"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    ops.add_unique("uq_companies_vat_number", "companies", ["vat_number"])


def downgrade() -> None:
    op.drop_constraint(op.f("uq_companies_vat_number"), "companies", type_="unique")
