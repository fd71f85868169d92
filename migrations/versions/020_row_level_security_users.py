"""Row level security on users: a person's own row.

What running code sees: the application says for whom it works with SET LOCAL app.user_id in each
transaction; one that does not sees no row and changes none. Who signs in is found by account_of().
The back office is a member of shippyar_admin and sees everyone; analytics_ro reads everyone. The
schema's owner is held to it too (FORCE), unless it has BYPASSRLS, as the migrator's and the
backup's role have. ACCESS EXCLUSIVE on users for a moment; no row is looked at. One table for each
revision, so that no lock is held while another one is waited for.

A downgrade shows every row to everyone who may read the table.
"""

from collections.abc import Sequence

from alembic import op

from shippyard.migration import ops

revision: str = "020"
down_revision: str | Sequence[str] | None = "019"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# The setting is missing where a session never said who it is for, and '' after SET LOCAL in a
# pooled one: neither is anybody, and neither is an error. One text: the lock is held for one trip.
ON = """
CREATE POLICY own_rows ON users TO shippyar_app
USING (id = nullif(current_setting('app.user_id', true), '')::uuid);
CREATE POLICY all_rows ON users TO shippyar_admin USING (true);
CREATE POLICY read_all ON users FOR SELECT TO analytics_ro USING (true);
ALTER TABLE users ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY
"""

OFF = """
ALTER TABLE users NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
DROP POLICY read_all ON users;
DROP POLICY all_rows ON users;
DROP POLICY own_rows ON users
"""


def upgrade() -> None:
    ops.require_roles("shippyar_app", "shippyar_admin", "analytics_ro")
    op.execute(ON)


def downgrade() -> None:
    op.execute(OFF)
