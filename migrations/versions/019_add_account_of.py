"""Add account_of(), by which the application finds who signs in.

What running code sees: code of before finds people by lower(email_v2), as it did; code of after
asks account_of() and says in each transaction for whom it works. It must all be deployed before
020, from where on nobody sees a row without that. No table is locked. A downgrade drops the
function.
"""

from collections.abc import Sequence

from alembic import op

from shippyard.migration import ops

revision: str = "019"
down_revision: str | Sequence[str] | None = "018"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

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
    ops.require_roles("shippyar_app")
    op.execute(ACCOUNT_OF)
    op.execute("REVOKE EXECUTE ON FUNCTION account_of(text) FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION account_of(text) TO shippyar_app")


def downgrade() -> None:
    op.execute("DROP FUNCTION account_of(text)")
