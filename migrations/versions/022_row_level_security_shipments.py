"""Row level security on shipments: a sender's own, and what is open for quotes.

What running code sees: as 019, for this table; besides, everyone reads what is open, because that
is the board that carriers look at. Served by ix_shipments_sender_id_created_at and
ix_shipments_open. ACCESS EXCLUSIVE on it for a moment; no row is looked at. A downgrade shows
every row to everyone who may read the table.
"""

from collections.abc import Sequence

from alembic import op

from shippyard.migration import ops

revision: str = "022"
down_revision: str | Sequence[str] | None = "021"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Empty when a session never said who it is for, and '' after SET LOCAL in a pooled one: neither is
# anybody, and neither is an error.
ME = "nullif(current_setting('app.user_id', true), '')::uuid"


def upgrade() -> None:
    ops.require_roles("shippyar_app", "shippyar_admin", "analytics_ro")
    op.execute(f"CREATE POLICY own_rows ON shipments TO shippyar_app USING (sender_id = {ME})")
    op.execute(
        "CREATE POLICY board ON shipments FOR SELECT TO shippyar_app USING (status = 'open')"
    )
    op.execute("CREATE POLICY all_rows ON shipments TO shippyar_admin USING (true)")
    op.execute("CREATE POLICY read_all ON shipments FOR SELECT TO analytics_ro USING (true)")
    op.execute("ALTER TABLE shipments ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE shipments FORCE ROW LEVEL SECURITY")


def downgrade() -> None:
    op.execute("ALTER TABLE shipments NO FORCE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE shipments DISABLE ROW LEVEL SECURITY")
    op.execute("DROP POLICY read_all ON shipments")
    op.execute("DROP POLICY all_rows ON shipments")
    op.execute("DROP POLICY board ON shipments")
    op.execute("DROP POLICY own_rows ON shipments")
