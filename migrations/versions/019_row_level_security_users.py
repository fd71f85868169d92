"""Row level security on users: a person's own row.

What running code sees: the application must say for whom it works before this runs, with
SET LOCAL app.user_id in each transaction; one that does not sees no row and changes none. Whoever
signs in is not known yet: account_of() gives the id that belongs to an address, and nothing else.
The back office is a member of shippyar_admin and sees everyone; analytics_ro reads everyone. The
schema's owner is held to it too (FORCE), unless it has BYPASSRLS, as the migrator's and the
backup's role have. ACCESS EXCLUSIVE on users for a moment; no row is looked at. One table for each
revision, so that no lock is held while another one is waited for.

A downgrade shows every row to everyone who may read the table.
"""

from collections.abc import Sequence

from alembic import op

from shippyard.migration import ops

revision: str = "019"
down_revision: str | Sequence[str] | None = "018"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Empty when a session never said who it is for, and '' after SET LOCAL in a pooled one: neither is
# anybody, and neither is an error.
ME = "nullif(current_setting('app.user_id', true), '')::uuid"

# Runs as the schema's owner. row_security = off makes it an error and not "no such account" where
# the owner lacks BYPASSRLS; an empty search_path lets nobody put another "lower" in its way.
ACCOUNT_OF = """
CREATE FUNCTION account_of(address text) RETURNS uuid LANGUAGE sql STABLE STRICT SECURITY DEFINER
SET search_path = '' SET row_security = off
AS $$
    SELECT id FROM public.users WHERE lower(email_v2) = lower(address) AND status <> 'closed'
$$
"""


def upgrade() -> None:
    ops.require_roles("shippyar_app", "shippyar_admin", "analytics_ro")
    op.execute(f"CREATE POLICY own_rows ON users TO shippyar_app USING (id = {ME})")
    op.execute("CREATE POLICY all_rows ON users TO shippyar_admin USING (true)")
    op.execute("CREATE POLICY read_all ON users FOR SELECT TO analytics_ro USING (true)")
    op.execute("ALTER TABLE users ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE users FORCE ROW LEVEL SECURITY")
    op.execute(ACCOUNT_OF)
    op.execute("REVOKE EXECUTE ON FUNCTION account_of(text) FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION account_of(text) TO shippyar_app")


def downgrade() -> None:
    op.execute("DROP FUNCTION account_of(text)")
    op.execute("ALTER TABLE users NO FORCE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE users DISABLE ROW LEVEL SECURITY")
    op.execute("DROP POLICY read_all ON users")
    op.execute("DROP POLICY all_rows ON users")
    op.execute("DROP POLICY own_rows ON users")
