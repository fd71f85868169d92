"""Row level security on addresses: a person's own.

What running code sees: as 019, for this table; the policy is served by ix_addresses_user_id. ACCESS
EXCLUSIVE on it for a moment; no row is looked at. A downgrade shows every row to everyone who may
read the table.
"""

from collections.abc import Sequence

from alembic import op

from shippyard.migration import ops

revision: str = "021"
down_revision: str | Sequence[str] | None = "020"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Empty when a session never said who it is for, and '' after SET LOCAL in a pooled one: neither is
# anybody, and neither is an error.
ME = "nullif(current_setting('app.user_id', true), '')::uuid"


def upgrade() -> None:
    ops.require_roles("shippyar_app", "shippyar_admin", "analytics_ro")
    op.execute(f"CREATE POLICY own_rows ON addresses TO shippyar_app USING (user_id = {ME})")
    op.execute("CREATE POLICY all_rows ON addresses TO shippyar_admin USING (true)")
    op.execute("CREATE POLICY read_all ON addresses FOR SELECT TO analytics_ro USING (true)")
    op.execute("ALTER TABLE addresses ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE addresses FORCE ROW LEVEL SECURITY")


def downgrade() -> None:
    op.execute("ALTER TABLE addresses NO FORCE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE addresses DISABLE ROW LEVEL SECURITY")
    op.execute("DROP POLICY read_all ON addresses")
    op.execute("DROP POLICY all_rows ON addresses")
    op.execute("DROP POLICY own_rows ON addresses")
