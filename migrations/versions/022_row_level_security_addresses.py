"""Row level security on addresses: a person's own.

What running code sees: as 020, for this table; the policy is served by ix_addresses_user_id. ACCESS
EXCLUSIVE on it for a moment; no row is looked at. A downgrade shows every row to everyone who may
read the table.
"""

from collections.abc import Sequence

from alembic import op

from shippyard.migration import ops

revision: str = "022"
down_revision: str | Sequence[str] | None = "021"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

ON = """
CREATE POLICY own_rows ON addresses TO shippyar_app
USING (user_id = nullif(current_setting('app.user_id', true), '')::uuid);
CREATE POLICY all_rows ON addresses TO shippyar_admin USING (true);
CREATE POLICY read_all ON addresses FOR SELECT TO analytics_ro USING (true);
ALTER TABLE addresses ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY
"""

OFF = """
ALTER TABLE addresses NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
DROP POLICY read_all ON addresses;
DROP POLICY all_rows ON addresses;
DROP POLICY own_rows ON addresses
"""


def upgrade() -> None:
    ops.require_roles("shippyar_app", "shippyar_admin", "analytics_ro")
    op.execute(ON)


def downgrade() -> None:
    op.execute(OFF)
