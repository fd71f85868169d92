"""Owns what a run's own transactions wrote: which they were, and how many rows of which table.

The server counts rows for whoever changes them, cascades and triggers included. It is asked just
before each commit, on the connection that commits. Statements that commit by themselves can't be
asked after; that there were some is said. Where a SELECT reads from tables, functions that it calls
are not suspected. Knows nothing of what a plan was meant to write.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, event

TABLES_MAX = 500
CHANGES_ROWS = re.compile(
    r"(?is)\s*(INSERT|UPDATE|DELETE|MERGE|TRUNCATE|COPY|DO|CALL|WITH\b.*\b(INSERT|UPDATE|DELETE|MERGE)"
    r"|SELECT(?!.*\bFROM\b))\b"
)
HARMLESS = re.compile(r"(?is)\s*(SHOW|SET|RESET|SELECT\b.*\bpg_catalog)\b")
BACKFILL = "shippyard.backfill"
XID_SQL = "SELECT pg_catalog.pg_current_xact_id_if_assigned()::xid::text"
COUNTS_SQL = f"""
SELECT schemaname || '.' || relname, n_tup_ins, n_tup_upd, n_tup_del
FROM pg_catalog.pg_stat_xact_user_tables
WHERE n_tup_ins + n_tup_upd + n_tup_del > 0 AND relname <> 'alembic_version'
    AND schemaname <> 'shippyard'
ORDER BY 1 LIMIT {TABLES_MAX}
"""

WRITES = frozenset({"wrote", "autocommit"})
"""A runner's events that say what is written. They are for the record; nobody waits for them."""

Say = Callable[..., None]


@dataclass(frozen=True)
class Counts:
    """Rows of one table that a run changed."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.inserted + other.inserted,
            self.updated + other.updated,
            self.deleted + other.deleted,
        )


@dataclass(frozen=True)
class Wrote:
    """All of a run. `unseen` statements committed by themselves: what they wrote is not known.

    `xids` are the run's transactions as rows have them (`xmin`), the oldest first.
    """

    xids: tuple[str, ...] = ()
    tables: Mapping[str, Counts] = field(default_factory=dict)
    unseen: int = 0

    def of(self, table: str) -> Counts:
        """One table's, by its name with its schema."""
        return self.tables.get(table, Counts())


def wrote_of(events: Iterable[Mapping[str, Any]]) -> Wrote | None:
    """What a run's events say; None when its runner never told."""
    told = [each for each in events if each.get("event") in WRITES]
    if not told:
        return None
    tables: dict[str, Counts] = {}
    for each in told:
        for name, counts in each.get("tables", {}).items():
            tables[name] = tables.get(name, Counts()) + Counts(*counts)
    xids = dict.fromkeys(str(each["xid"]) for each in told if each.get("xid"))
    unseen = sum(bool(each.get("rows_unknown")) for each in told)
    return Wrote(tuple(xids), tables, unseen)


def tell_what_is_written(engine: Engine, say: Say) -> None:
    """Have `say` told of each commit's rows, and of statements that commit by themselves.

    `say("wrote", xid=…, tables={name: [inserted, updated, deleted]})` comes before the commit;
    `say("autocommit", statement=…, rows_unknown=…)` before the first statement that may change
    rows, and before the first that does not: a backfill has thousands.
    """
    seen: dict[str, Counts] = {}
    told: set[bool] = set()

    def before_commit(connection: Connection) -> None:
        driver: Any = connection.connection.dbapi_connection
        if driver.autocommit:
            return
        with driver.cursor() as cursor:
            cursor.execute(XID_SQL)
            xid = cursor.fetchone()[0]
            if xid is None:
                return
            cursor.execute(COUNTS_SQL)
            tables = {row[0]: Counts(*row[1:]) for row in cursor.fetchall()}
        since = {name: _less(each, seen.get(name)) for name, each in tables.items()}
        seen.clear()
        seen.update(tables)
        say("wrote", xid=xid, tables={name: list(_triple(each)) for name, each in since.items()})

    def before_statement(connection: Connection, _: Any, statement: str, *__: Any) -> None:
        driver: Any = connection.connection.dbapi_connection
        # a backfill moves its checkpoint in the statement that fills what the plan says
        ours = BACKFILL in statement
        unknown = not ours and CHANGES_ROWS.match(statement) is not None
        if driver.autocommit and unknown not in told and not HARMLESS.match(statement):
            told.add(unknown)
            say("autocommit", statement=" ".join(statement.split())[:200], rows_unknown=unknown)

    event.listen(engine, "commit", before_commit)
    event.listen(engine, "before_cursor_execute", before_statement)


def _triple(counts: Counts) -> tuple[int, int, int]:
    return counts.inserted, counts.updated, counts.deleted


def _less(now: Counts, before: Counts | None) -> Counts:
    """A session's counts go on from one transaction to the next until the server collects them."""
    if before is None or any(n < b for n, b in zip(_triple(now), _triple(before), strict=True)):
        return now
    return Counts(*(n - b for n, b in zip(_triple(now), _triple(before), strict=True)))
