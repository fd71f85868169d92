"""Owns what may be asked of migrations: plan, run, history; and one run per database at once.

Reads like the sentence: plan it, see that it is still the plan that was meant, carry it out.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from shippyard.config.base import Environment
from shippyard.config.migration import Migration
from shippyard.host.clock import Clock
from shippyard.host.process import Processes
from shippyard.migration.audit import Audit
from shippyard.migration.execution import (
    Blocked,
    Execution,
    OnVerdict,
    Parts,
    gather_facts,
    let_go,
)
from shippyard.migration.facts import Backups, Live, Progress
from shippyard.migration.gates import ask_all, first_blocking
from shippyard.migration.gates.verdict import Verdict
from shippyard.migration.journal import Journal, Run
from shippyard.migration.plan import HEAD, Plan
from shippyard.migration.planner import Look, Planner, Prepared, look_or_none
from shippyard.migration.states import BEFORE_STARTED, ENDS
from shippyard.migration.supervise import Supervisor
from shippyard.postgres.target import Target
from shippyard.state.database import State
from shippyard.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

STOP_WAIT_S = 3.0
BEING_PLANNED = "(being planned)"


class NotConfigured(Exception):
    """The configuration does not allow migrating this database; says what to add."""


class PlanChanged(Exception):
    """The plan is not the one that was meant."""

    def __init__(self, meant: str, found: str) -> None:
        super().__init__(
            f"the plan changed: it is {found[:12]} now, not {meant[:12]}; look at it again"
        )
        self.content_hash = found


@dataclass(frozen=True)
class Judged:
    """A plan with what the gates say of it now; `blocking` is None when it may run."""

    plan: Plan
    verdicts: tuple[Verdict, ...]
    blocking: Verdict | None


def _ignore(_: Any) -> None:
    """Nobody listens."""


class Migrations:
    """The migrations of every configured database. Safe to use from any thread.

    `targets` maps each database to its migrator login, or None where it has none.
    """

    def __init__(
        self,
        config: Migration | None,
        environment: Environment,
        targets: Mapping[str, Target | None],
        plans_dir: Path,
        *,
        processes: Processes,
        state: State,
        metrics: Metrics,
        clock: Clock,
        backups: Backups,
        live: Live,
    ) -> None:
        self._config = config
        self._targets = targets
        self._supervisor = Supervisor(processes)
        self._planner = Planner(plans_dir, self._supervisor)
        self._stopping = threading.Event()
        self._parts = Parts(
            environment=environment,
            journal=Journal(state, clock),
            audit=Audit(state, clock),
            supervisor=self._supervisor,
            metrics=metrics,
            clock=clock,
            backups=backups,
            live=live,
            stopping=self._stopping,
        )
        self._idle = threading.Condition()
        self._active: dict[str, str] = {}
        self._closed = False

    @property
    def audit(self) -> Audit:
        """The chain of what was done by whom."""
        return self._parts.audit

    def start(self) -> None:
        """Begin the counters at zero; runs themselves are asked for."""
        metrics = self._parts.metrics
        for database in self._targets:
            metrics.migration_running.labels(database).set(0)
            metrics.migration_lock_retries.labels(database)
            for outcome in ENDS:
                metrics.migration_runs.labels(database, outcome)

    def stop(self) -> None:
        """Make running revisions roll back; returns within about three seconds. Safe twice."""
        self._stopping.set()
        self._supervisor.interrupt()
        with self._idle:
            self._idle.wait_for(lambda: not self._active, STOP_WAIT_S)

    def plan(self, database: str, revision: str = HEAD) -> Judged:
        """What would run, and what the gates say now.

        Raises:
            NotConfigured, PlanRefused, PlanFailed: one line each.
        """
        prepared = self._prepare(database, revision)
        facts = gather_facts(
            self._parts,
            prepared,
            backup_promised=prepared.policy.backup_before,
            active_run=self._active.get(database),
        )
        verdicts = ask_all(facts)
        return Judged(prepared.plan, verdicts, first_blocking(verdicts, prepared.policy))

    def run(
        self,
        database: str,
        revision: str = HEAD,
        *,
        requested_by: str,
        content_hash: str | None = None,
        progress: Progress = _ignore,
        on_verdict: OnVerdict = _ignore,
    ) -> Run | None:
        """Bring a database to `revision`; None when it is there already.

        With `content_hash` only the plan of that hash is run.

        Raises:
            NotConfigured, PlanRefused, PlanFailed: nothing was started.
            PlanChanged, Blocked: it may not run.
            RunFailed, RunInterrupted: it did not get to its end.
        """
        with self._only_run_of(database):
            progress({"phase": "plan", "message": f"planning {database} to {revision}"})
            prepared = self._prepare(database, revision, for_run=True)
            _refuse_changed(prepared.plan, content_hash)
            if not prepared.plan.revisions:
                return None
            return self._carry_out(prepared, requested_by, progress, on_verdict)

    def history(self, database: str | None = None) -> list[Run]:
        """The last runs, newest first."""
        return self._parts.journal.history(database)

    def close_if_idle(self) -> list[str]:
        """Refuse new runs from now on if none is under way; else name what is migrated."""
        with self._idle:
            self._closed = not self._active
            return sorted(self._active)

    def recover(self) -> list[Run]:
        """Once, when the process starts: mark what nobody carries out any more as interrupted."""
        return [self._recover(run) for run in self._parts.journal.unfinished()]

    def _prepare(self, database: str, revision: str, *, for_run: bool = False) -> Prepared:
        policy, target = self._configured(database)
        return self._planner.prepare(database, target, policy, revision, for_run=for_run)

    def _configured(self, database: str) -> tuple[Migration, Target]:
        if database not in self._targets:
            known = ", ".join(sorted(self._targets))
            raise NotConfigured(f"no database called {database!r} is configured; known: {known}")
        if self._config is None:
            raise NotConfigured("migrations are not configured; add [migration] with alembic_ini")
        target = self._targets[database]
        if target is None:
            raise NotConfigured(
                f"{database} has no migrator login; add migrator to its [[databases]]"
            )
        return self._config, target

    @contextmanager
    def _only_run_of(self, database: str) -> Iterator[None]:
        with self._idle:
            if self._closed:
                busy = Verdict("another_run", "block", "the daemon is busy with itself; try again")
                raise Blocked(busy, [busy])
            active = self._active.get(database)
            if active:
                busy = Verdict("another_run", "block", f"run {active} is under way; wait for it")
                raise Blocked(busy, [busy])
            self._active[database] = BEING_PLANNED
        try:
            yield
        finally:
            self._planner.let_go(database)
            with self._idle:
                del self._active[database]
                self._idle.notify_all()

    def _carry_out(
        self, prepared: Prepared, requested_by: str, progress: Progress, on_verdict: OnVerdict
    ) -> Run:
        execution = Execution(self._parts, prepared, requested_by, progress, on_verdict)
        database = prepared.plan.database
        self._active[database] = execution.run_id
        running = self._parts.metrics.migration_running.labels(database)
        running.set(1)
        try:
            return execution.carry_out()
        finally:
            running.set(0)

    def _recover(self, run: Run) -> Run:
        target = self._targets.get(run.database)
        found = look_or_none(target) if target else None
        said = f"the daemon ended while this was {run.state}; {standing_of(run, found)}"
        self._parts.journal.note(run.id, found=found.current if found else None)
        interrupted = self._parts.journal.move(run.id, "interrupted", said)
        if run.state in BEFORE_STARTED:
            let_go(lambda: self._parts.backups.release(run.database, held_by=run.id), run)
        head = self.audit.record("shippyard", "run.interrupted", run.id, {"error": said})
        self._parts.metrics.migration_runs.labels(run.database, "interrupted").inc()
        log.warning(
            "migration.interrupted", run=run.id, database=run.database, error=said, audit_head=head
        )
        return interrupted


def standing_of(run: Run, found: Look | None) -> str:
    """What a run that was cut off left behind, in words."""
    if found is None:
        return "where the database stands could not be read"
    if found.current == run.to_revision:
        return f"everything was applied, the database is at {found.current}"
    if found.current == run.from_revision:
        return (
            f"nothing was applied, the database is at {found.current or 'no revision'}; run again"
        )
    return f"the database is at {found.current or 'no revision'}; run again to go on from there"


def _refuse_changed(plan: Plan, meant: str | None) -> None:
    if meant is not None and meant != plan.content_hash:
        raise PlanChanged(meant, plan.content_hash)
