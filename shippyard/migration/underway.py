"""Owns what is being migrated at this moment: one run per database, how far it is, who stops it.

Kept in memory only; what must survive a crash is in the journal. Decides nothing about gates.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shippyard.host.clock import Clock

BEING_PLANNED = "(being planned)"
WAITS_KEPT = 20


class Busy(Exception):
    """The database is being migrated, or nothing may begin now; one line."""


@dataclass
class Active:
    """One run under way. `asked_to_stop` is looked at between its steps."""

    database: str
    since: datetime
    run_id: str = BEING_PLANNED
    asked_to_stop: threading.Event = field(default_factory=threading.Event)
    newest: Mapping[str, Any] = field(default_factory=dict)
    told: list[Mapping[str, Any]] = field(default_factory=list)

    def tell(self, fields: Mapping[str, Any]) -> None:
        """How far it is; the last few lines are kept for whoever looks later."""
        self.newest = dict(fields)
        self.told = [*self.told[-WAITS_KEPT + 1 :], dict(fields)]

    def document(self, now: datetime) -> dict[str, Any]:
        """The run in JSON."""
        return {
            "database": self.database,
            "run": self.run_id,
            "elapsed_s": round((now - self.since).total_seconds(), 1),
            "stopping": self.asked_to_stop.is_set(),
            "progress": dict(self.newest),
            "lately": [dict(each) for each in self.told],
        }


class UnderWay:
    """Every run of this daemon. Safe from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._idle = threading.Condition()
        self._active: dict[str, Active] = {}
        self._closed: str | None = None

    @contextmanager
    def claimed(self, database: str) -> Iterator[Active]:
        """Being the only run of a database, for the length of a block.

        Raises:
            Busy: another one is, or nothing begins any more.
        """
        active = self._claim(database)
        try:
            yield active
        finally:
            with self._idle:
                del self._active[database]
                self._idle.notify_all()

    def of(self, database: str) -> Active | None:
        """The run of a database, or None."""
        return self._active.get(database)

    def show(self, database: str | None = None) -> list[dict[str, Any]]:
        """Runs under way in JSON, of one database or of all."""
        now = self._clock.now()
        active = [self._active[name] for name in sorted(self._active)]
        return [each.document(now) for each in active if database in (None, each.database)]

    def stop(self, database: str) -> Active | None:
        """Ask a database's run to stop between its steps; None when there is none."""
        active = self._active.get(database)
        if active:
            active.asked_to_stop.set()
        return active

    def stop_all(self) -> None:
        """Ask every run to stop, and begin no other."""
        self._closed = "the daemon is stopping; ask again when it is back"
        for active in list(self._active.values()):
            active.asked_to_stop.set()

    def wait_idle(self, timeout_s: float) -> None:
        """Wait until nothing runs, or the time is up."""
        with self._idle:
            self._idle.wait_for(lambda: not self._active, timeout_s)

    def close_if_idle(self) -> list[str]:
        """Refuse new runs from now on if none is under way; else name what is migrated."""
        with self._idle:
            if not self._active:
                self._closed = "the daemon is busy with itself; try again"
            return sorted(self._active)

    def _claim(self, database: str) -> Active:
        with self._idle:
            if self._closed:
                raise Busy(self._closed)
            if (active := self._active.get(database)) is not None:
                raise Busy(f"run {active.run_id} is under way; see `shippyard ctl migrate status`")
            made = self._active[database] = Active(database, self._clock.now())
            return made
