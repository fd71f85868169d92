"""Owns watching a database for a while after a run, and saying whether it hurts.

What is seen is compared with how it was before: more transactions that fail, statements that take
longer, sessions that wait. The decision is pure; who looks at the database is a Protocol's answer,
`ServerVitals` the one that asks the server itself. Takes nothing back.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from shippyard.host.clock import Clock
from shippyard.postgres.session import QueryFailed, Session, Unreachable, open_session
from shippyard.postgres.target import Target

LOOK_EVERY_S = 2.0
BASELINE_S = 4.0

# Below these nothing is said: a handful of transactions proves nothing.
TRANSACTIONS_LEAST = 50
CALLS_LEAST = 50

ROLLBACK_MORE = 0.02  # of all transactions, above what there was before
SLOWER = 2.0
SLOWER_LEAST_MS = 5.0
BLOCKED_LOOKS = 3  # in a row
BLOCKED_MORE = 2

VITALS_SQL = """
SELECT xact_commit AS commits, xact_rollback AS rollbacks,
    (
        SELECT count(DISTINCT l.pid) FROM pg_locks AS l
        JOIN pg_stat_activity AS a ON a.pid = l.pid AND a.datname = d.datname
        WHERE NOT l.granted
    ) AS blocked
FROM pg_stat_database AS d WHERE d.datname = current_database()
"""
STATEMENTS_THERE_SQL = """
SELECT quote_ident(n.nspname) AS schema FROM pg_extension AS e
JOIN pg_namespace AS n ON n.oid = e.extnamespace WHERE e.extname = 'pg_stat_statements'
"""
STATEMENTS_SQL = """
SELECT sum(calls)::int8 AS calls, sum(total_exec_time)::float8 AS elapsed_ms
FROM {schema}.pg_stat_statements(false) AS s
WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND s.userid <> (SELECT oid FROM pg_roles WHERE rolname = session_user)
"""


@dataclass(frozen=True)
class Vital:
    """One look. Counts only grow; `calls` and `elapsed_ms` are None where nobody counts them."""

    commits: int
    rollbacks: int
    blocked: int
    calls: int | None = None
    elapsed_ms: float | None = None


class Vitals(Protocol):
    """Who looks at a database."""

    def look(self) -> Vital | None:
        """How it is now; None when it can't be had."""
        ...


@dataclass(frozen=True)
class Baseline:
    """How a database was before: the share of transactions that failed, and a statement's mean."""

    rollback_share: float | None
    mean_ms: float | None
    blocked: int

    @classmethod
    def between(cls, first: Vital | None, last: Vital | None) -> "Baseline":
        """What happened between two looks."""
        if first is None or last is None:
            return cls(None, None, 0)
        return cls(_rollback_share(first, last), _mean_ms(first, last), last.blocked)


@dataclass(frozen=True)
class Aftercare:
    """How it went. `unknown` when too little was seen to say; `evidence` is one line each."""

    verdict: Literal["settled", "hurting", "unknown"]
    evidence: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {"verdict": self.verdict, "evidence": list(self.evidence)}


def judge(before: Baseline, looks: Sequence[Vital | None]) -> Aftercare:
    """What the looks since the run say, oldest first."""
    seen = [look for look in looks if look is not None]
    if len(seen) < 2:  # noqa: PLR2004  two make a span
        return Aftercare("unknown", ("the database was not seen after the run",))
    evidence = (*_failing(before, seen), *_slower(before, seen), *_blocked(before, seen))
    return Aftercare("hurting" if evidence else "settled", evidence)


def watch(
    vitals: Vitals,
    before: Baseline,
    watch_s: float,
    *,
    clock: Clock,
    stopping: threading.Event,
    tell: Callable[[float], None] = lambda _: None,
) -> Aftercare:
    """Look until `watch_s` is over, it is seen to hurt, or a stop is asked for.

    `tell` is told the seconds that are left.
    """
    ends_s = clock.monotonic() + watch_s
    looks = [vitals.look()]
    while (left_s := ends_s - clock.monotonic()) > 0:
        tell(left_s)
        if stopping.wait(min(LOOK_EVERY_S, left_s)):
            break
        looks.append(vitals.look())
        found = judge(before, looks)
        if found.verdict == "hurting":
            return found
    return judge(before, looks)


def baseline(vitals: Vitals, stopping: threading.Event, span_s: float = BASELINE_S) -> Baseline:
    """How the database is just before a run, from two looks."""
    first = vitals.look()
    stopping.wait(span_s)
    return Baseline.between(first, vitals.look())


class ServerVitals:
    """The server's own counts, on a session that is opened again when it is lost."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._session: Session | None = None
        self._statements: str | None = None

    def look(self) -> Vital | None:
        """How the database is now; None when the server does not say."""
        try:
            session = self._opened()
            row = session.query(VITALS_SQL)[0]
            calls, elapsed_ms = self._calls(session)
        except (QueryFailed, Unreachable):
            self.close()
            return None
        return Vital(row["commits"], row["rollbacks"], row["blocked"], calls, elapsed_ms)

    def close(self) -> None:
        """Let go of the session; safe twice."""
        if self._session:
            self._session.close()
        self._session = None

    def _opened(self) -> Session:
        if self._session is None:
            self._session = open_session(self._target, "migrate-watch")
            found = self._session.query(STATEMENTS_THERE_SQL)
            self._statements = found[0]["schema"] if found else None
        return self._session

    def _calls(self, session: Session) -> tuple[int | None, float | None]:
        if self._statements is None:
            return None, None
        try:
            row = session.query(STATEMENTS_SQL.format(schema=self._statements))[0]
        except QueryFailed:
            self._statements = None  # there, and not loaded by the server
            return None, None
        return row["calls"], row["elapsed_ms"]


def _failing(before: Baseline, seen: Sequence[Vital]) -> tuple[str, ...]:
    share = _rollback_share(seen[0], seen[-1])
    if share is None:
        return ()
    was = before.rollback_share or 0.0
    if share <= was + ROLLBACK_MORE:
        return ()
    return (f"{share:.1%} of transactions fail, {was:.1%} did before",)


def _slower(before: Baseline, seen: Sequence[Vital]) -> tuple[str, ...]:
    mean_ms, was_ms = _mean_ms(seen[0], seen[-1]), before.mean_ms
    if mean_ms is None or was_ms is None:
        return ()
    if mean_ms < SLOWER * was_ms or mean_ms - was_ms < SLOWER_LEAST_MS:
        return ()
    return (f"a statement takes {mean_ms:.1f} ms on average, {was_ms:.1f} ms before",)


def _blocked(before: Baseline, seen: Sequence[Vital]) -> tuple[str, ...]:
    last = [each.blocked for each in seen[-BLOCKED_LOOKS:]]
    if len(last) < BLOCKED_LOOKS or min(last) < before.blocked + BLOCKED_MORE:
        return ()
    return (f"{min(last)} sessions wait for locks, {before.blocked} did before",)


def _rollback_share(first: Vital, last: Vital) -> float | None:
    commits, rollbacks = last.commits - first.commits, last.rollbacks - first.rollbacks
    if commits < 0 or rollbacks < 0 or commits + rollbacks < TRANSACTIONS_LEAST:
        return None
    return rollbacks / (commits + rollbacks)


def _mean_ms(first: Vital, last: Vital) -> float | None:
    if None in (first.calls, last.calls, first.elapsed_ms, last.elapsed_ms):
        return None
    calls = (last.calls or 0) - (first.calls or 0)
    elapsed_ms = (last.elapsed_ms or 0.0) - (first.elapsed_ms or 0.0)
    return elapsed_ms / calls if calls >= CALLS_LEAST and elapsed_ms >= 0 else None
