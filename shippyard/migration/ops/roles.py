"""Owns looking for the roles that a revision names, before it changes anything."""

import sqlalchemy as sa
from alembic import op

from shippyard.migration.ops.steps import StepRefused

MISSING_SQL = """
SELECT wanted FROM pg_catalog.unnest(CAST(:names AS text[])) AS wanted
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted)
"""


def require_roles(*names: str) -> None:
    """Do nothing where these roles are. Takes no lock; nothing to take back.

    Raises:
        StepRefused: some are missing; roles belong to the cluster, and no revision makes them.
    """
    if op.get_context().as_sql:
        return
    missing = op.get_bind().execute(sa.text(MISSING_SQL), {"names": list(names)}).scalars().all()
    if missing:
        raise StepRefused(
            f"missing roles: {', '.join(missing)}; "
            "run: shippyard bootstrap --config FILE --apply, as a superuser"
        )
