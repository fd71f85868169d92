"""Owns the newest facts that decide whether a database can bear a migration right now.

Fed with rows by the pollers. What is older than half a minute is not known.
"""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from shippyard.config.models import Database
from shippyard.health.model import Row
from shippyard.host.clock import Clock

STALE_AFTER_S = 30.0
# A receiver reports every 10 s by default. One silent for longer is at least that far behind,
# whatever lag it last reported.
SILENT_AFTER_S = 20.0

LIMITS = "connection_limits"
EDGES = "blocking_edges"
TRANSACTIONS = "transactions"
PRIMARY = "replication_primary"
STANDBY = "replication_standby"
NEEDED = (LIMITS, EDGES, TRANSACTIONS, PRIMARY, STANDBY)


@dataclass(frozen=True)
class Facts:
    """A database as it was `observed_age_s` ago.

    `blocked_sessions` and `longest_transaction_s` are this database's own, since nothing waits for
    a lock in another one. `replication_lag_s` is the worst receiver's, or this server's own when it
    is a standby; None without receivers.
    """

    in_recovery: bool
    blocked_sessions: int
    longest_transaction_s: float
    replication_lag_s: float | None
    connections_used_ratio: float
    observed_age_s: float


class LiveHealth:
    """The newest rows of the checks that facts are made of, by cluster."""

    def __init__(self, databases: Iterable[Database], clock: Clock) -> None:
        self._databases = {database.name: database for database in databases}
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, str], tuple[float, Sequence[Row]]] = {}

    def record(self, cluster: str, check: str, rows: Sequence[Row]) -> None:
        """Remember what a check has just answered."""
        if check in NEEDED:
            with self._lock:
                self._seen[cluster, check] = (self._clock.monotonic(), rows)

    def forget(self, cluster: str, check: str | None = None) -> None:
        """Know nothing any more of a cluster, or of what one check said of it."""
        with self._lock:
            for key in [key for key in self._seen if key[0] == cluster]:
                if check in (None, key[1]):
                    del self._seen[key]

    def facts(self, database: str) -> Facts | None:
        """Facts of the database that config calls `database`; None when not polled lately."""
        known = self._databases.get(database)
        if known is None:
            return None
        with self._lock:
            seen = [self._seen.get((known.cluster, check)) for check in NEEDED]
        answers = [answer for answer in seen if answer is not None]
        if len(answers) < len(NEEDED):
            return None
        age_s = self._clock.monotonic() - min(at for at, _ in answers)
        if age_s > STALE_AFTER_S:
            return None
        rows = {check: answer[1] for check, answer in zip(NEEDED, answers, strict=True)}
        return _facts(rows, known.dbname, age_s)


def _facts(rows: dict[str, Sequence[Row]], dbname: str, age_s: float) -> Facts | None:
    own = [row for row in rows[TRANSACTIONS] if row["datname"] == dbname]
    used_ratio = rows[LIMITS][0]["used_ratio"]
    if not own or used_ratio is None:
        return None
    in_recovery = bool(rows[STANDBY][0]["in_recovery"])
    return Facts(
        in_recovery,
        sum(1 for row in rows[EDGES] if row["blockers"] and row["datname"] == dbname),
        float(own[0]["longest_s"]),
        _standby_lag_s(rows[STANDBY][0]) if in_recovery else _receivers_lag_s(rows[PRIMARY]),
        float(used_ratio),
        age_s,
    )


def _receivers_lag_s(rows: Sequence[Row]) -> float | None:
    return max((_receiver_lag_s(row) for row in rows), default=None)


def _receiver_lag_s(row: Row) -> float:
    silent_s = float(row["since_reply_s"] or 0.0)
    return max(float(row["replay_lag_s"]), silent_s if silent_s > SILENT_AFTER_S else 0.0)


def _standby_lag_s(row: Row) -> float | None:
    delay_s: Any = row["replay_delay_s"]
    return None if delay_s is None else float(delay_s)
