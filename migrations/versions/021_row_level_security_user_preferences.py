"""Row level security on user_preferences: a person's own row.

What running code sees: as 020, for this table. ACCESS EXCLUSIVE on it for a moment; no row is
looked at. A downgrade shows every row to everyone who may read the table.
"""

from collections.abc import Sequence

from alembic import op

from shippyard.migration import ops

revision: str = "021"
down_revision: str | Sequence[str] | None = "020"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

ON = """
CREATE POLICY own_rows ON user_preferences TO shippyar_app
USING (user_id = nullif(current_setting('app.user_id', true), '')::uuid);
CREATE POLICY all_rows ON user_preferences TO shippyar_admin USING (true);
CREATE POLICY read_all ON user_preferences FOR SELECT TO analytics_ro USING (true);
ALTER TABLE user_preferences ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY
"""

OFF = """
ALTER TABLE user_preferences NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
DROP POLICY read_all ON user_preferences;
DROP POLICY all_rows ON user_preferences;
DROP POLICY own_rows ON user_preferences
"""


def upgrade() -> None:
    ops.require_roles("shippyar_app", "shippyar_admin", "analytics_ro")
    op.execute(ON)


def downgrade() -> None:
    op.execute(OFF)
