"""Row level security on shipments: a sender's own, and what is open for quotes.

What running code sees: as 020, for this table; besides, everyone reads what is open, because that
is the board that carriers look at. Served by ix_shipments_sender_id_created_at and
ix_shipments_open. ACCESS EXCLUSIVE on it for a moment; no row is looked at. A downgrade shows
every row to everyone who may read the table.
"""

from collections.abc import Sequence

from alembic import op

from shippyard.migration import ops

revision: str = "023"
down_revision: str | Sequence[str] | None = "022"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

ON = """
CREATE POLICY own_rows ON shipments TO shippyar_app
USING (sender_id = nullif(current_setting('app.user_id', true), '')::uuid);
CREATE POLICY board ON shipments FOR SELECT TO shippyar_app USING (status = 'open');
CREATE POLICY all_rows ON shipments TO shippyar_admin USING (true);
CREATE POLICY read_all ON shipments FOR SELECT TO analytics_ro USING (true);
ALTER TABLE shipments ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY
"""

OFF = """
ALTER TABLE shipments NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
DROP POLICY read_all ON shipments;
DROP POLICY all_rows ON shipments;
DROP POLICY board ON shipments;
DROP POLICY own_rows ON shipments
"""


def upgrade() -> None:
    ops.require_roles("shippyar_app", "shippyar_admin", "analytics_ro")
    op.execute(ON)


def downgrade() -> None:
    op.execute(OFF)
