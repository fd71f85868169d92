"""Owns what is asked of the server about who waits for whom: before an attempt, and during one.

Where the role may not look into others' sessions, their transactions are told apart all the same,
and how long they last is seen by looking again. Text of statements leaves here masked and cut.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from shippyard.host.secrets import mask
from shippyard.migration.recording.modes import CONFLICTS, blocks

QUERY_MAX_CHARS = 80
ROWS_MAX = 500
OURS = "shippyard:"
CONSTANTS = re.compile(r"'(?:[^']|'')*'?|\$\w*\$.*|\b\d+(?:\.\d+)?\b", re.DOTALL)

_HERE = "(SELECT oid FROM pg_database WHERE datname = current_database())"

TRANSACTIONS_SQL = f"""
SELECT l.virtualtransaction AS transaction,
    extract(EPOCH FROM clock_timestamp() - a.xact_start)::float8 * 1000 AS age_ms
FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
WHERE l.locktype = 'virtualxid' AND l.granted AND a.datid = {_HERE}
    AND a.usesysid IS NOT NULL AND NOT starts_with(a.application_name, '{OURS}')
LIMIT {ROWS_MAX}
"""

# An autovacuum goes away by itself when somebody waits; not one that is there against wraparound.
HOLDERS_SQL = f"""
SELECT l.virtualtransaction AS transaction, l.pid, l.mode,
    quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS relation,
    extract(EPOCH FROM clock_timestamp() - a.xact_start)::float8 * 1000 AS age_ms,
    coalesce(a.usename, CASE WHEN l.pid IS NULL THEN 'a prepared transaction' ELSE 'autovacuum' END)
        AS user, coalesce(a.application_name, '') AS application,
    coalesce(a.state, '') AS state, left(coalesce(a.query, ''), 400) AS query
FROM pg_locks AS l
JOIN pg_class AS c ON c.oid = l.relation JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_stat_activity AS a USING (pid)
WHERE l.locktype = 'relation' AND l.granted AND l.database = {_HERE}
    AND quote_ident(n.nspname) || '.' || quote_ident(c.relname) = ANY (%(relations)s)
    AND l.pid IS DISTINCT FROM pg_backend_pid()
    AND (
        l.pid IS NULL OR a.usesysid IS NOT NULL
        OR a.query LIKE 'autovacuum:%%(to prevent wraparound)'
    )
ORDER BY 5 DESC NULLS LAST LIMIT {ROWS_MAX}
"""

QUEUE_SQL = f"""
SELECT l.pid, l.mode, l.relation::bigint AS relation FROM pg_locks AS l
WHERE NOT l.granted AND l.pid IS NOT NULL LIMIT {ROWS_MAX}
"""

BEHIND_SQL = f"""
SELECT w.pid, a.usename AS user, a.application_name AS application,
    coalesce(a.state, '') AS state, left(coalesce(a.query, ''), 400) AS query
FROM unnest(%(waiting)s::int[]) AS w (pid) JOIN pg_stat_activity AS a USING (pid)
WHERE %(ours)s::int[] && pg_blocking_pids(w.pid)
    AND a.usesysid IS NOT NULL AND NOT starts_with(a.application_name, '{OURS}')
"""

AHEAD_SQL = """
SELECT a.pid, coalesce(a.usename, 'autovacuum') AS user, a.application_name AS application,
    coalesce(a.state, '') AS state, left(coalesce(a.query, ''), 400) AS query,
    extract(EPOCH FROM clock_timestamp() - a.xact_start)::float8 * 1000 AS age_ms
FROM unnest(pg_blocking_pids(%(pid)s)) AS w (pid) JOIN pg_stat_activity AS a USING (pid)
"""

NAME_SQL = """
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.oid = %(oid)s::bigint::oid
"""

CANCEL_SQL = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE pid = ANY (%(pids)s::int[])"
END_SQL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = ANY (%(pids)s::int[])"

PROGRESS_SQL = """
SELECT 'index' AS what, phase,
    CASE WHEN blocks_total > 0 THEN 100.0 * blocks_done / blocks_total
        WHEN tuples_total > 0 THEN 100.0 * tuples_done / tuples_total
        WHEN lockers_total > 0 THEN 100.0 * lockers_done / lockers_total END::float8 AS percent
FROM pg_stat_progress_create_index WHERE pid = ANY (%(pids)s::int[])
UNION ALL
SELECT 'rewrite', phase,
    CASE WHEN heap_blks_total > 0 THEN 100.0 * heap_blks_scanned / heap_blks_total END::float8
FROM pg_stat_progress_cluster WHERE pid = ANY (%(pids)s::int[])
UNION ALL
SELECT 'analyze', phase, CASE WHEN sample_blks_total > 0
    THEN 100.0 * sample_blks_scanned / sample_blks_total END::float8
FROM pg_stat_progress_analyze WHERE pid = ANY (%(pids)s::int[])
"""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Holder:
    """A transaction with a lock that ours will wait for. `age_ms` is at least how old it is."""

    transaction: str
    pid: int | None
    user: str
    application: str
    state: str
    query: str
    relation: str
    mode: str
    age_ms: float

    def document(self) -> dict[str, Any]:
        """For an event; the statement masked and cut."""
        return {
            "pid": self.pid,
            "user": self.user,
            "application": self.application,
            "state": self.state,
            "query": self.query,
            "relation": self.relation,
            "age_s": round(self.age_ms / 1000, 1),
        }

    @property
    def said(self) -> str:
        """In a few words."""
        who = f"{self.user} ({self.application or 'no name'}, server process {self.pid})"
        return f"{who} has held {self.relation} for {self.age_ms / 1000:.1f} s"


class Spans:
    """How long transactions have been seen to last; looked at again and again. Pure."""

    def __init__(self) -> None:
        self._first_ms: dict[str, float] = {}
        self._longest_ms: dict[str, float] = {}

    def see(self, rows: Iterable[Row], now_ms: float) -> None:
        """What a look found, and when."""
        for row in rows:
            self.age_ms(row, now_ms)

    def age_ms(self, row: Row, now_ms: float) -> float:
        """A transaction's age by what the server says, or at least since it was first seen."""
        name = str(row["transaction"])
        seen = now_ms - self._first_ms.setdefault(name, now_ms)
        age = max(seen, row["age_ms"] or 0.0)
        self._longest_ms[name] = max(age, self._longest_ms.get(name, 0.0))
        return age

    @property
    def lasted_ms(self) -> list[float]:
        """What each transaction has lasted for, as far as it was seen."""
        return list(self._longest_ms.values())


def ask(
    session: psycopg.Connection[dict[str, Any]], question: str, parameters: Row | None = None
) -> list[dict[str, Any]]:
    """The rows of an answer.

    Raises:
        psycopg.Error: there was none.
    """
    literal: LiteralString = question
    return session.execute(sql.SQL(literal), parameters).fetchall()


def holders(
    rows: Iterable[Row], wanted: Mapping[str, str], spans: Spans, now_ms: float
) -> list[Holder]:
    """Those whose lock is in the way of the modes that are wanted of relations."""
    return [
        Holder(
            str(row["transaction"]),
            row["pid"],
            str(row["user"]),
            str(row["application"]),
            str(row["state"]),
            shown(str(row["query"])),
            str(row["relation"]),
            str(row["mode"]),
            spans.age_ms(row, now_ms),
        )
        for row in rows
        if row["mode"] in CONFLICTS and blocks(row["mode"], wanted[row["relation"]])
    ]


def shown(query: str) -> str:
    """A statement as it may be shown: one line, no constants and no secrets, cut."""
    text = CONSTANTS.sub("?", mask(" ".join(query.split())))
    return text if len(text) <= QUERY_MAX_CHARS else text[: QUERY_MAX_CHARS - 1] + "…"


def who(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Sessions for an event, a few of them."""
    return [
        {
            "pid": row["pid"],
            "user": row["user"],
            "application": row["application"],
            "state": row["state"],
            "query": shown(str(row["query"])),
        }
        for row in rows[:5]
    ]
