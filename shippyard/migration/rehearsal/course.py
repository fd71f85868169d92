"""Owns how far a rehearsal is: what takes how long, how long it may still take, what is told.

Knows no step by more than its name.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from shippyard.host.clock import Clock
from shippyard.migration.rehearsal.copies import Progress

PHASES = ("look", "up", "compare", "down", "again")
"""What a rehearsal does after the restore, in this order."""


class Stopped(Exception):
    """Nothing was found out: it had to be given up; one line."""


class Course:
    """One rehearsal under way. `past` is how long each phase took the last time."""

    def __init__(
        self, progress: Progress, clock: Clock, past: Mapping[str, float], timeout_s: float
    ) -> None:
        self._progress = progress
        self._clock = clock
        self._past = past
        self._timeout_s = timeout_s
        self._deadline = float("inf")
        self._must_stop: Callable[[], str | None] = lambda: None
        self._phase = "restore"
        self.phases: dict[str, float] = {}

    def begin(self, phases: Mapping[str, float], must_stop: Callable[[], str | None]) -> None:
        """The backup is restored, which took these `phases`; from now on its time counts."""
        self.phases.update(phases)
        self._must_stop = must_stop
        self._deadline = self._clock.monotonic() + self._timeout_s

    @property
    def left_s(self) -> float:
        """Seconds until it must be over.

        Raises:
            Stopped: none are left, or whoever restored it says so.
        """
        self.check()
        return self._deadline - self._clock.monotonic()

    def check(self) -> None:
        """Give up when it has to be.

        Raises:
            Stopped: the time is up, or whoever restored it says so.
        """
        if why := self._must_stop():
            raise Stopped(why)
        if self._clock.monotonic() >= self._deadline:
            raise Stopped(
                f"it took longer than migration.rehearsal_timeout_s = {self._timeout_s:g} s"
            )

    @contextlib.contextmanager
    def phase(self, name: str, message: str) -> Iterator[None]:
        """Measure what is done in the block, and say that it begins."""
        self.check()
        self._phase = name
        self.tell(message)
        begun_s = self._clock.monotonic()
        try:
            yield
        finally:
            elapsed_s = self._clock.monotonic() - begun_s
            self.phases[name] = round(self.phases.get(name, 0.0) + elapsed_s, 3)

    def tell(self, message: str) -> None:
        """Say how far it is, with what the last rehearsal says of the rest."""
        rest_s = sum(self._past.get(name, 0.0) for name in PHASES if name not in self.phases)
        eta = f"about {rest_s:.0f} s to go" if rest_s >= 1 else ""
        said = ", ".join(part for part in (message, eta) if part)
        self._progress({"phase": f"rehearse {self._phase}", "message": said})

    def restoring(self, fields: Mapping[str, Any]) -> None:
        """What whoever restores says."""
        phase = f"restore {fields.get('phase', '')}".strip()
        self._progress({**fields, "phase": phase})
