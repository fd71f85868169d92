"""Point users.country_code at countries.

What running code sees: a code that no country has is refused from the first moment. SHARE ROW
EXCLUSIVE on users and countries for a moment, then a scan under SHARE UPDATE EXCLUSIVE on users and
ROW SHARE on countries, which lets everyone read and write.
"""

from collections.abc import Sequence

from alembic import op

from shippyard.migration import ops

revision: str = "016"
down_revision: str | Sequence[str] | None = "015"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    ops.add_foreign_key("fk_users_country_code", "users", ["country_code"], "countries", ["code"])


def downgrade() -> None:
    op.drop_constraint(op.f("fk_users_country_code"), "users", type_="foreignkey")
