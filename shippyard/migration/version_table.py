"""Owns reading where a database stands: Alembic's own table, wherever it is. Writes nothing.

Used by the daemon and by the runner, each over its own connection.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shippyard.migration.plan import PlanRefused

Query = Callable[[str], Sequence[Mapping[str, Any]]]

LOCATE_SQL = """
SELECT format('%I.%I', n.nspname, c.relname) AS name
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = 'alembic_version' AND c.relkind = 'r'
ORDER BY 1
"""

INVALID_INDEXES_SQL = """
SELECT format('%I.%I', n.nspname, c.relname) AS name
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE NOT i.indisvalid AND c.relkind = 'i' AND n.nspname <> 'pg_toast'
ORDER BY 1
"""

RECOVERY_SQL = "SELECT pg_catalog.pg_is_in_recovery() AS in_recovery"


def read_current(query: Query) -> str | None:
    """The revision the database is at; None when Alembic never ran there.

    Raises:
        PlanRefused: several tables or several rows: nobody can say where it stands.
    """
    tables = [str(row["name"]) for row in query(LOCATE_SQL)]
    if len(tables) > 1:
        raise PlanRefused(f"several version tables ({', '.join(tables)}); keep one")
    rows = query(f"SELECT version_num FROM {tables[0]} ORDER BY 1") if tables else []
    if len(rows) > 1:
        names = ", ".join(str(row["version_num"]) for row in rows)
        raise PlanRefused(f"{tables[0]} has several rows ({names}); merge the branches first")
    return str(rows[0]["version_num"]) if rows else None


def read_invalid_indexes(query: Query) -> tuple[str, ...]:
    """Indexes that a failed concurrent build left behind."""
    return tuple(str(row["name"]) for row in query(INVALID_INDEXES_SQL))


def read_in_recovery(query: Query) -> bool:
    """True on a standby."""
    return bool(query(RECOVERY_SQL)[0]["in_recovery"])
