"""Owns how a run ends: recorded, told, its backups let go, what is expected of the schema set.

However it ended, it says what is then true in the database. Does nothing to that.
"""

from collections.abc import Callable, Mapping
from typing import Any

import structlog

from shippyard.migration.drift import DriftUnknown
from shippyard.migration.journal import Run
from shippyard.migration.known import Known
from shippyard.migration.order import Order
from shippyard.migration.parts import Parts
from shippyard.migration.planner import Look, look_or_none
from shippyard.migration.states import RunEvent
from shippyard.postgres.session import one_line
from shippyard.telemetry.condition import Change, Condition

ENDED_BY_SUCCESS = ("migration_damaged", "migration_hurting")

log = structlog.get_logger(__name__)


class Closing:
    """The end of one run."""

    def __init__(self, parts: Parts, known: Known, order: Order, run_id: str) -> None:
        self._parts = parts
        self._known = known
        self._prepared = known.prepared
        self._order = order
        self._run_id = run_id
        self._started_s = parts.clock.monotonic()
        self.may_have_changed = False

    def badly(self, event: RunEvent, error: Exception) -> str:
        """Record a bad end and give its one line, with what is left in the database."""
        found = look_or_none(self._prepared.target)
        said = f"{one_line(error)}; {self._what_is_left(found)}"
        self.end(event, event, said)
        return said

    def end(self, event: RunEvent, outcome: str, error: str | None) -> Run:
        """Record it, tell it."""
        run = self._parts.journal.move(self._run_id, event, error)
        if run.state == "done" and self._order.way == "down" and self._order.of_run:
            self._parts.journal.move(self._order.of_run.id, "taken_back")
        self._let_go_of_backups(run)
        head = self._parts.audit.record(
            self._order.by.user, "run.finished", run.id, {"state": run.state, "error": error}
        )
        self._parts.remember()
        self._count(run, outcome)
        self._tell(run, outcome, error)
        self._announce(run, outcome)
        log.info(
            "migration.finished",
            run=run.id,
            database=run.database,
            way=run.way,
            outcome=outcome,
            from_revision=run.from_revision,
            to_revision=run.to_revision,
            requested_by=run.requested_by,
            error=error,
            audit_head=head,
            elapsed_s=round(self._parts.clock.monotonic() - self._started_s, 3),
        )
        return run

    def new_invalid_indexes(self, found: Look) -> list[str]:
        """INVALID indexes that were not there before."""
        before = set(self._prepared.seen.server.invalid_indexes)
        return [name for name in found.server.invalid_indexes if name not in before]

    def _count(self, run: Run, outcome: str) -> None:
        metrics, said = self._parts.metrics, outcome
        if run.state == "done" and run.way == "down":
            said = "rolled_back"
        metrics.migration_runs.labels(run.database, said).inc()
        if run.state == "done":
            metrics.migration_last_success.labels(run.database).set(
                self._parts.clock.now().timestamp()
            )

    def _announce(self, run: Run, outcome: str) -> None:
        way = f"{run.way} from {run.from_revision or 'nothing'} to {run.to_revision}"
        detail = {"run": run.id, "outcome": outcome, "requested_by": run.requested_by}
        self._parts.announce(Change(run.database, f"migration {way}: {outcome}", detail))

    def _tell(self, run: Run, outcome: str, error: str | None) -> None:
        database, tell = run.database, self._parts.tell
        if outcome != "blocked":
            tell(Condition("migration_failed", database, error, "ticket"))
        if self._order.emergency:
            tell(Condition("migration_emergency", database, None))
        if run.state != "done":
            return
        self._expect(database)
        report = self._known.rehearsal
        self._parts.attestations.ran(
            run, self._prepared.target, report.report_hash if report else None
        )
        if run.plan_hash and run.way == "up":
            self._parts.book.spend(database, run.plan_hash, run.id)
        for rule in ENDED_BY_SUCCESS if run.way == "down" else ():
            tell(Condition(rule, database, None))

    def _what_is_left(self, found: Look | None) -> str:
        if found is None:
            return "where the database stands could not be read"
        left = self.new_invalid_indexes(found)
        standing = f"the database is at {found.current or 'no revision'}"
        if not left:
            return standing
        return f"{standing}, INVALID: {', '.join(left)}; drop with DROP INDEX CONCURRENTLY"

    def _expect(self, database: str) -> None:
        try:
            self._parts.drifts.expect_what_is(database)
        except DriftUnknown as error:
            log.warning("migration.schema_unknown", run=self._run_id, error=str(error))

    def _let_go_of_backups(self, run: Run) -> None:
        """A way back is kept only for a run that may have changed something and did not succeed."""
        backups, database = self._parts.backups, run.database
        if run.state == "done":
            let_go(lambda: backups.release_earlier(database, than=run.id), run)
        elif not self.may_have_changed:
            let_go(lambda: backups.release(database, held_by=run.id), run)


def let_go(release: Callable[[], None], run: Run) -> None:
    """Release backups; trouble with that must not change how a run ended."""
    try:
        release()
    except Exception as error:  # noqa: BLE001  whatever it is, only an old backup stays longer
        log.warning("migration.hold_kept", run=run.id, error=one_line(error))


def identity_of(run: Run, order: Order) -> Mapping[str, Any]:
    """What the audit says of a run that begins."""
    return {
        "database": run.database,
        "way": run.way,
        "of_run": run.of_run,
        "from_revision": run.from_revision,
        "to_revision": run.to_revision,
        "content_hash": run.content_hash,
        "plan_hash": run.plan_hash,
        "emergency": order.emergency,
    }
