"""Owns the newest facts that decide whether a database can bear a migration right now.

Fed with rows by the pollers. What moves fast is known together and for half a minute, or not at
all; every other fact has an age of its own, and is None when it is older.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shippyard.config.models import Database
from shippyard.health.model import Row, Scope
from shippyard.host.clock import Clock
from shippyard.host.disk import least_free_bytes

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

SNAPSHOTS = "xmin_holders"
PREPARED = "prepared_xacts"
FREEZING = "freeze_vacuums"
VACUUMS = "autovacuums"
SLOTS = "replication_slots"
ARCHIVER = "archiver"
BACKLOG = "archiver_backlog"
STORAGE = "storage"
UNUSED = "indexes_unused"
DUPLICATE = "indexes_duplicate"
DATA = "data"

BY_THEMSELVES = frozenset(
    {SNAPSHOTS, PREPARED, FREEZING, VACUUMS, SLOTS, ARCHIVER, BACKLOG, STORAGE, UNUSED, DUPLICATE}
)
TURNS = 3
"""What is known by itself is believed for so many turns of its check, or half a minute."""

Known = Mapping[str, Sequence[Row]]


@dataclass(frozen=True)
class Facts:
    """A database as it was `observed_age_s` ago.

    `blocked_sessions` and `longest_transaction_s` are this database's own, since nothing waits for
    a lock in another one. `replication_lag_s` is the worst receiver's, or this server's own when it
    is a standby; None without receivers.

    Each of the others is None when it is not known. `oldest_snapshot_s` (but our own) and
    `oldest_prepared_s` are this database's, 0 without any. `freeze_vacuums` are its tables that
    autovacuum freezes, `autovacuums` how long it has worked on others. `archive_waiting_s` is how
    long the oldest WAL file waits to be archived, 0 where none does. `idle_slots` keep WAL for
    nobody. `disk_free_bytes` is where the cluster's files are. `spare_indexes` are unused or
    duplicate ones, by table.
    """

    in_recovery: bool
    blocked_sessions: int
    longest_transaction_s: float
    replication_lag_s: float | None
    connections_used_ratio: float
    observed_age_s: float
    oldest_snapshot_s: float | None = None
    oldest_prepared_s: float | None = None
    freeze_vacuums: tuple[str, ...] | None = None
    autovacuums: Mapping[str, float] | None = None
    archive_failing: bool | None = None
    archive_waiting_s: float | None = None
    idle_slots: tuple[str, ...] | None = None
    disk_free_bytes: int | None = None
    spare_indexes: Mapping[str, tuple[str, ...]] | None = None


@dataclass(frozen=True)
class Seen:
    """What a check answered at `at_s`, which is believed for `fresh_s`."""

    at_s: float
    fresh_s: float
    rows: Sequence[Row]


Room = Callable[[Sequence[Path], Path], int | None]
"""The least that is free at any of some places, when they are the owner's of another one."""


class LiveHealth:
    """The newest rows of the checks that facts are made of, by the place they were asked of."""

    def __init__(
        self, databases: Iterable[Database], clock: Clock, room: Room = least_free_bytes
    ) -> None:
        self._room = room
        self._databases = {database.name: database for database in databases}
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, str], Seen] = {}

    def record(self, place: str, check: str, rows: Sequence[Row], *, every_s: float = 0.0) -> None:
        """Remember what a check, asked every so often, has answered of `place` (see `place_of`)."""
        if check in NEEDED or check in BY_THEMSELVES:
            fresh_s = max(STALE_AFTER_S, TURNS * every_s)
            with self._lock:
                self._seen[place, check] = Seen(self._clock.monotonic(), fresh_s, rows)

    def forget(self, place: str, check: str | None = None) -> None:
        """Know nothing any more of a cluster or a database, or of what one check said of it."""
        with self._lock:
            for key in [key for key in self._seen if key[0] == place]:
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
        age_s = self._clock.monotonic() - min(answer.at_s for answer in answers)
        if age_s > STALE_AFTER_S:
            return None
        rows = {check: answer.rows for check, answer in zip(NEEDED, answers, strict=True)}
        return self._facts(known, rows | self._by_themselves(known), age_s)

    def _by_themselves(self, database: Database) -> dict[str, Sequence[Row]]:
        """Answers that are not too old, each by its own measure."""
        now = self._clock.monotonic()
        with self._lock:
            seen = [
                (check, found)
                for place in (database.cluster, place_of(database))
                for check in BY_THEMSELVES
                if (found := self._seen.get((place, check)))
            ]
        return {check: each.rows for check, each in seen if now - each.at_s <= each.fresh_s}

    def _facts(self, database: Database, rows: Known, age_s: float) -> Facts | None:
        dbname = database.dbname
        own = _of(dbname, rows[TRANSACTIONS])
        used_ratio = rows[LIMITS][0]["used_ratio"]
        if not own or used_ratio is None:
            return None
        in_recovery = bool(rows[STANDBY][0]["in_recovery"])
        return Facts(
            in_recovery,
            sum(1 for row in _of(dbname, rows[EDGES]) if row["blockers"]),
            float(own[0]["longest_s"]),
            _standby_lag_s(rows[STANDBY][0]) if in_recovery else _receivers_lag_s(rows[PRIMARY]),
            float(used_ratio),
            age_s,
            oldest_snapshot_s=_longest(dbname, rows.get(SNAPSHOTS), "others_s"),
            oldest_prepared_s=_longest(dbname, rows.get(PREPARED), "oldest_s"),
            freeze_vacuums=_relations(dbname, rows.get(FREEZING)),
            autovacuums=_ages(dbname, rows.get(VACUUMS)),
            archive_failing=_is_failing(rows.get(ARCHIVER)),
            archive_waiting_s=_waiting_s(rows.get(BACKLOG)),
            idle_slots=_idle(rows.get(SLOTS)),
            disk_free_bytes=self._disk_free_bytes(database, rows.get(STORAGE)),
            spare_indexes=_spare(rows.get(UNUSED), rows.get(DUPLICATE)),
        )

    def _disk_free_bytes(self, database: Database, rows: Sequence[Row] | None) -> int | None:
        """Only a server that is reached by its socket has its disk here."""
        if rows is None or not database.host.startswith("/"):
            return None
        if not any(row["place"] == DATA for row in rows):
            return None
        socket = Path(database.host) / f".s.PGSQL.{database.port}"
        return self._room([Path(row["path"]) for row in rows], socket)


def place_of(database: Database, scope: Scope = "database") -> str:
    """What an answer is of: the whole cluster, or this database alone."""
    cluster = database.cluster
    return cluster if scope == "instance" else f"{cluster}/{database.name}"


def _of(dbname: str, rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["datname"] == dbname]


def _longest(dbname: str, rows: Sequence[Row] | None, column: str) -> float | None:
    if rows is None:
        return None
    return max((float(row[column] or 0.0) for row in _of(dbname, rows)), default=0.0)


def _relations(dbname: str, rows: Sequence[Row] | None) -> tuple[str, ...] | None:
    return None if rows is None else tuple(str(row["relation"]) for row in _of(dbname, rows))


def _ages(dbname: str, rows: Sequence[Row] | None) -> Mapping[str, float] | None:
    if rows is None:
        return None
    return {str(row["relation"]): float(row["age_s"] or 0.0) for row in _of(dbname, rows)}


def _is_failing(rows: Sequence[Row] | None) -> bool | None:
    return None if rows is None else bool(rows[0]["failing"])


def _waiting_s(rows: Sequence[Row] | None) -> float | None:
    if rows is None:
        return None
    return float(rows[0]["oldest_s"]) if rows[0]["archiving"] else 0.0


def _idle(rows: Sequence[Row] | None) -> tuple[str, ...] | None:
    if rows is None:
        return None
    return tuple(str(row["slot_name"]) for row in rows if not row["active"] and not row["lost"])


def _spare(
    unused: Sequence[Row] | None, duplicate: Sequence[Row] | None
) -> Mapping[str, tuple[str, ...]] | None:
    """What nobody needs, by table."""
    if unused is None or duplicate is None:
        return None
    found: dict[str, tuple[str, ...]] = {}
    for row in unused:
        name = f"{row['index_name']} (unused)"
        found[row["relation"]] = (*found.get(row["relation"], ()), name)
    for row in duplicate:
        name = f"{row['index_names']} (the same)"
        found[row["relation"]] = (*found.get(row["relation"], ()), name)
    return found


def _receivers_lag_s(rows: Sequence[Row]) -> float | None:
    return max((_receiver_lag_s(row) for row in rows), default=None)


def _receiver_lag_s(row: Row) -> float:
    silent_s = float(row["since_reply_s"] or 0.0)
    return max(float(row["replay_lag_s"]), silent_s if silent_s > SILENT_AFTER_S else 0.0)


def _standby_lag_s(row: Row) -> float | None:
    delay_s: Any = row["replay_delay_s"]
    return None if delay_s is None else float(delay_s)
