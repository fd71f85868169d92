"""Owns what the gates may ask: protocols that other rooms answer, and one frozen set of facts.

Knows nobody who answers. A fact that could not be had is None, never a comfortable default.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Protocol

from shippyard.config.base import Environment
from shippyard.config.calendar import Calendar
from shippyard.config.migration import Migration
from shippyard.migration.approvals.model import Standing
from shippyard.migration.hazards.model import Hazard
from shippyard.migration.plan import Plan
from shippyard.migration.rehearsal.report import Report
from shippyard.migration.spec import Way
from shippyard.migration.touches import Touches, touches

Progress = Callable[[Mapping[str, Any]], None]


class BackupFacts(Protocol):
    """A published, verified full backup."""

    @property
    def id(self) -> str:
        """Its name in the catalog."""
        ...

    @property
    def database(self) -> str:
        """What it is a backup of."""
        ...

    @property
    def kind(self) -> str:
        """`dump` for a full one."""
        ...

    @property
    def finished_at(self) -> datetime:
        """When it was published."""
        ...

    @property
    def size_bytes(self) -> int:
        """Size on disk."""
        ...


class Backups(Protocol):
    """Who knows and takes backups."""

    def newest(self, database: str) -> BackupFacts | None:
        """The newest verified full backup, or None."""
        ...

    def take(self, database: str, *, held_by: str, progress: Progress) -> BackupFacts:
        """Take a full backup that retention leaves alone while the run `held_by` may need it."""
        ...

    def release(self, database: str, *, held_by: str) -> None:
        """The run `held_by` changed nothing: it needs no way back."""
        ...

    def release_earlier(self, database: str, *, than: str) -> None:
        """The run `than` succeeded: no run before it is gone back from any more."""
        ...

    def reading(self, database: str) -> str | None:
        """Who reads the whole database now and holds a snapshot of it: a dump, a digest; or None.

        A base backup is in nobody's way.
        """
        ...


class LiveFacts(Protocol):
    """How a database's cluster was a moment ago."""

    @property
    def in_recovery(self) -> bool:
        """True on a standby."""
        ...

    @property
    def blocked_sessions(self) -> int:
        """Sessions that wait on another session's lock."""
        ...

    @property
    def longest_transaction_s(self) -> float:
        """Age of the oldest open transaction."""
        ...

    @property
    def replication_lag_s(self) -> float | None:
        """The slowest replica's lag; None when there is no replica."""
        ...

    @property
    def connections_used_ratio(self) -> float:
        """Connections in use over the limit, 0 to 1."""
        ...

    @property
    def observed_age_s(self) -> float:
        """How old these facts are."""
        ...

    @property
    def oldest_snapshot_s(self) -> float | None:
        """Age of the oldest snapshot in this database but our own; 0 without any."""
        ...

    @property
    def oldest_prepared_s(self) -> float | None:
        """Age of the oldest prepared transaction of this database; 0 without any."""
        ...

    @property
    def freeze_vacuums(self) -> tuple[str, ...] | None:
        """Tables of this database that autovacuum freezes now, to prevent wraparound."""
        ...

    @property
    def autovacuums(self) -> Mapping[str, float] | None:
        """How long autovacuum has worked on which table of this database, freezing not counted."""
        ...

    @property
    def archive_failing(self) -> bool | None:
        """The newest try to archive WAL failed."""
        ...

    @property
    def archive_waiting_s(self) -> float | None:
        """How long the oldest WAL file waits to be archived; 0 where none does."""
        ...

    @property
    def idle_slots(self) -> tuple[str, ...] | None:
        """Replication slots that keep WAL for nobody."""
        ...

    @property
    def disk_free_bytes(self) -> int | None:
        """What is free where the cluster's files are; None when they can't be seen from here."""
        ...

    @property
    def spare_indexes(self) -> Mapping[str, tuple[str, ...]] | None:
        """Indexes that nobody reads or that there are twice, by table."""
        ...


class Live(Protocol):
    """Who watches the database."""

    def facts(self, database: str) -> LiveFacts | None:
        """What was last seen; None when it was not polled lately."""
        ...


@dataclass(frozen=True)
class Attested:
    """Another environment's word that this content ran there; who gave it was verified."""

    content_hash: str
    environment: str
    finished_at: datetime
    expires_at: datetime
    key_id: str


@dataclass(frozen=True)
class ServerFacts:
    """What the server itself said just now."""

    in_recovery: bool
    invalid_indexes: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """Everything the gates judge by.

    `backup_promised`: a full backup will be taken before anything runs. `backup_known`,
    `rehearsal_known`, `reader_known`: False when nobody could be asked. `fingerprint` names the
    schema as it is. `goes_on`: this run goes on with one that was let through. `reader` reads the
    whole database now. `exposed` says which of the plan's files somebody else could write; None is
    nobody. Else what is None is not known.
    """

    database: str
    environment: Environment
    policy: Migration
    now: datetime
    plan: Plan
    server: ServerFacts | None
    live: LiveFacts | None
    backup: BackupFacts | None
    backup_known: bool
    backup_promised: bool
    active_run: str | None
    hazards: tuple[Hazard, ...] | None = None
    rehearsal: Report | None = None
    rehearsal_known: bool = True
    approvals: Standing | None = None
    fingerprint: str | None = None
    expected_fingerprint: str | None = None
    goes_on: bool = False
    attested: tuple[Attested, ...] | None = None
    calendar: Calendar = field(default_factory=Calendar)
    reader: str | None = None
    reader_known: bool = True
    system_identifier: str | None = None
    exposed: str | None = None
    way: Way = "up"

    @cached_property
    def touches(self) -> Touches:
        """What the plan touches, as far as it can be known."""
        return touches(self.plan, self.rehearsal)
