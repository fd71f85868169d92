"""Row level security on user_preferences: a person's own row.

What running code sees: as 019, for this table. ACCESS EXCLUSIVE on it for a moment; no row is
looked at. A downgrade shows every row to everyone who may read the table.
"""

from collections.abc import Sequence

from alembic import op

from shippyard.migration import ops

revision: str = "020"
down_revision: str | Sequence[str] | None = "019"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Empty when a session never said who it is for, and '' after SET LOCAL in a pooled one: neither is
# anybody, and neither is an error.
ME = "nullif(current_setting('app.user_id', true), '')::uuid"


def upgrade() -> None:
    ops.require_roles("shippyar_app", "shippyar_admin", "analytics_ro")
    op.execute(f"CREATE POLICY own_rows ON user_preferences TO shippyar_app USING (user_id = {ME})")
    op.execute("CREATE POLICY all_rows ON user_preferences TO shippyar_admin USING (true)")
    op.execute("CREATE POLICY read_all ON user_preferences FOR SELECT TO analytics_ro USING (true)")
    op.execute("ALTER TABLE user_preferences ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE user_preferences FORCE ROW LEVEL SECURITY")


def downgrade() -> None:
    op.execute("ALTER TABLE user_preferences NO FORCE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE user_preferences DISABLE ROW LEVEL SECURITY")
    op.execute("DROP POLICY read_all ON user_preferences")
    op.execute("DROP POLICY all_rows ON user_preferences")
    op.execute("DROP POLICY own_rows ON user_preferences")
