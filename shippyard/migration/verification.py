"""Owns looking whether a run left the database whole and the application well: before and after.

What can't be looked at is `unknown`, never well. Takes nothing back.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import structlog

from shippyard.host.clock import Clock
from shippyard.migration.aftercare import Aftercare, Baseline, ServerVitals, baseline, watch
from shippyard.migration.integrity import Integrity, Snapshot, compare, expected_of, take
from shippyard.migration.known import Known
from shippyard.migration.planner import Prepared
from shippyard.migration.spec import Way
from shippyard.migration.undo import Undo
from shippyard.migration.wrote import wrote_of
from shippyard.postgres.session import QueryFailed, Unreachable

LOOK_S = 60.0

log = structlog.get_logger(__name__)


class Verification:
    """One run's two looks."""

    def __init__(self, known: Known, clock: Clock, undo: Undo | None = None) -> None:
        """`undo` is the way back that is taken, where it goes down."""
        self._prepared = known.prepared
        self._report = known.rehearsal
        self._clock = clock
        self._way: Way = "down" if undo else "up"
        steps = undo.steps if undo else known.prepared.rest
        self._revisions = [step.revision for step in steps]
        self._before: Snapshot | None = None

    def look_before(self) -> None:
        """See what there is before anything is changed."""
        self._before = self._look(None)

    def look_after(self, events: Iterable[Mapping[str, Any]]) -> Integrity:
        """See what became of it; `events` are the runner's, which tell what it wrote itself."""
        before = self._before
        after = self._look(before) if before else None
        if before is None or after is None:
            return Integrity("unknown", ("the database could not be looked at",))
        expected = expected_of(
            self._prepared.plan,
            self._revisions,
            wrote_of(events),
            way=self._way,
            report=self._report,
        )
        return compare(before, after, expected)

    def _look(self, before: Snapshot | None) -> Snapshot | None:
        target, plan = self._prepared.target, self._prepared.plan
        try:
            return take(target, plan, timeout_s=LOOK_S, before=before, clock=self._clock)
        except (Unreachable, QueryFailed) as error:
            log.warning("migration.integrity_unknown", database=plan.database, error=str(error))
            return None


@dataclass(frozen=True)
class Health:
    """How the application fared before a run, and how it is looked at after.

    `before` is None where nobody wants it watched.
    """

    vitals: ServerVitals
    before: Baseline | None
    watch_s: float
    clock: Clock
    stopping: threading.Event

    def watch(self, tell: Callable[[float], None]) -> Aftercare | None:
        """Look for a while; None when nobody wants it."""
        if self.before is None:
            return None
        return watch(
            self.vitals,
            self.before,
            self.watch_s,
            clock=self.clock,
            stopping=self.stopping,
            tell=tell,
        )


@contextmanager
def watched(prepared: Prepared, clock: Clock, stopping: threading.Event) -> Iterator[Health]:
    """How the database fares, from just before the block on."""
    vitals, watch_s = ServerVitals(prepared.target), prepared.policy.watch_s
    try:
        before = baseline(vitals, stopping) if watch_s else None
        yield Health(vitals, before, watch_s, clock, stopping)
    finally:
        vitals.close()
