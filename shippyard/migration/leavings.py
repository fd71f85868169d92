"""Owns what is found of runs whose owner died: their sessions ended, what they left said."""

from collections.abc import Mapping

import structlog

from shippyard.migration.closing import let_go
from shippyard.migration.journal import Run
from shippyard.migration.parts import Parts
from shippyard.migration.plan import PlanRefused
from shippyard.migration.recovery import Found, recover
from shippyard.migration.states import BEFORE_STARTED
from shippyard.postgres.session import QueryFailed, Unreachable
from shippyard.postgres.target import Target

log = structlog.get_logger(__name__)


class Leavings:
    """What runs left. `targets` maps each database to its migrator login, or None."""

    def __init__(self, parts: Parts, targets: Mapping[str, Target | None]) -> None:
        self._parts = parts
        self._targets = targets

    def record(self, run: Run) -> Run:
        """Write down that nobody carries a run out any more, and what it left."""
        found = self.of(run)
        said = f"the daemon ended while this was {run.state}; {standing_of(run, found)}"
        self._parts.journal.note(run.id, left=found.document() if found else None)
        interrupted = self._parts.journal.move(run.id, "interrupted", said)
        if run.way == "down" and run.of_run and found and (found.at or "") == run.to_revision:
            self._parts.journal.move(run.of_run, "taken_back")
        if run.state in BEFORE_STARTED:
            let_go(lambda: self._parts.backups.release(run.database, held_by=run.id), run)
        head = self._parts.audit.record("shippyard", "run.interrupted", run.id, {"error": said})
        self._parts.metrics.migration_runs.labels(run.database, "interrupted").inc()
        log.warning(
            "migration.interrupted", run=run.id, database=run.database, error=said, audit_head=head
        )
        return interrupted

    def of(self, run: Run) -> Found | None:
        """What a run left whose owner is dead, its sessions ended; None when nobody can say."""
        target = self._targets.get(run.database)
        if target is None:
            return None
        try:
            return recover(run, target, clock=self._parts.clock)
        except (Unreachable, QueryFailed, PlanRefused) as error:
            log.warning("migration.not_recovered", run=run.id, error=str(error))
            return None


def standing_of(run: Run, found: Found | None) -> str:
    """What a run that was cut off left behind, in words."""
    if found is None:
        return "where the database stands could not be read"
    if (found.at or "") == run.to_revision:
        done = "applied" if run.way == "up" else "taken back"
        return f"everything was {done}; {found.said}"
    if found.at == run.from_revision and found.clean:
        return f"nothing was applied; {found.said}; run again"
    return f"{found.said}; go on: shippyard ctl migrate resume {run.id}"
