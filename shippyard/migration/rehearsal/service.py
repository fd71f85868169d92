"""Owns what may be asked of rehearsals: try a plan, list what was tried, tell how it went."""

from contextlib import AbstractContextManager
from typing import Protocol

import structlog

from shippyard.host.clock import Clock
from shippyard.migration.audit import Audit
from shippyard.migration.known import Known
from shippyard.migration.plan import PlanRefused
from shippyard.migration.rehearsal.copies import Progress
from shippyard.migration.rehearsal.rehearser import Rehearser
from shippyard.migration.rehearsal.report import Report
from shippyard.migration.rehearsal.store import RehearsalStore
from shippyard.telemetry.condition import Condition, Tell
from shippyard.telemetry.metrics import Metrics

RULE = "rehearsal_failed"
OUTCOMES = ("passed", "failed", "blocked", "interrupted")

log = structlog.get_logger(__name__)


class Plans(Protocol):
    """Who makes plans."""

    def known(self, database: str, revision: str) -> AbstractContextManager[Known]:
        """A plan with its hazards, whose files stay for the length of a block."""
        ...


class Rehearsals:
    """The rehearsals of one configuration. Safe from any thread."""

    def __init__(
        self,
        plans: Plans,
        rehearser: Rehearser,
        store: RehearsalStore,
        *,
        audit: Audit,
        metrics: Metrics,
        clock: Clock,
        tell: Tell,
    ) -> None:
        self._plans = plans
        self._rehearser = rehearser
        self._store = store
        self._audit = audit
        self._metrics = metrics
        self._clock = clock
        self._tell = tell

    def rehearse(self, database: str, revision: str, by: str, progress: Progress) -> Report:
        """Plan, try it on the newest backup, remember and tell how it went.

        Raises:
            PlanRefused, PlanFailed, NotConfigured: there is nothing to rehearse; one line each.
        """
        progress({"phase": "plan", "message": f"planning {database} to {revision}"})
        with self._plans.known(database, revision) as known:
            plan = known.prepared.plan
            if not plan.revisions:
                raise PlanRefused(f"{database} is at {plan.target}: there is nothing to rehearse")
            report = self._rehearser.rehearse(known, progress)
        self._store.add(report)
        self._note(report, by)
        return report

    def all(self, database: str | None = None) -> list[Report]:
        """What was rehearsed, newest first."""
        return self._store.all(database)

    def find(self, rehearsal_id: str) -> Report:
        """One report.

        Raises:
            PlanRefused: there is none of that id.
        """
        found = self._store.of(rehearsal_id)
        if found is None:
            raise PlanRefused(
                f"no rehearsal {rehearsal_id!r}; see `shippyard ctl migrate rehearsals`"
            )
        return found

    def _note(self, report: Report, by: str) -> None:
        database, elapsed_s = report.database, _elapsed_s(report)
        self._metrics.rehearsals.labels(database, report.outcome).inc()
        self._metrics.rehearsal_duration.labels(database).set(elapsed_s)
        if report.outcome == "passed":
            at = report.finished_at.timestamp()
            self._metrics.rehearsal_last_success.labels(database).set(at)
        if report.outcome in ("passed", "failed"):
            self._tell(_condition(report))
        head = self._audit.record(
            by,
            "rehearsal.finished",
            report.id,
            {
                "database": database,
                "content_hash": report.content_hash,
                "report_hash": report.report_hash,
                "outcome": report.outcome,
            },
        )
        log.info(
            "migration.rehearsed",
            id=report.id,
            database=database,
            outcome=report.outcome,
            comes_back=report.comes_back,
            backup=report.backup_id,
            error=report.error,
            audit_head=head,
            elapsed_s=round(elapsed_s, 3),
        )


def _elapsed_s(report: Report) -> float:
    return (report.finished_at - report.started_at).total_seconds()


def _condition(report: Report) -> Condition:
    """A plan that fails on real data is for whoever wrote it, not for the night."""
    if report.outcome == "passed":
        return Condition(RULE, report.database, None, "ticket")
    said = (
        f"{report.from_revision or 'base'} → {report.to_revision} fails on backup "
        f"{report.backup_id}: {report.error}; see `shippyard ctl migrate rehearsal {report.id}`"
    )
    return Condition(RULE, report.database, said, "ticket")
