"""Owns what may be asked of migrations: plan, run, history; and one run per database at once.

Reads like the sentence: plan it, see that it is still the plan that was meant, carry it out.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog

from shippyard.config.migration import Migration
from shippyard.migration.approvals.book import Subject
from shippyard.migration.approvals.methods import Described
from shippyard.migration.audit import Audit
from shippyard.migration.execution import Blocked, Execution, Listener, RunFailed
from shippyard.migration.gates import ask_all
from shippyard.migration.gates.verdict import Verdict
from shippyard.migration.journal import Run
from shippyard.migration.judged import Judged
from shippyard.migration.known import Known, what_is_known
from shippyard.migration.leavings import Leavings
from shippyard.migration.leftovers import sweep
from shippyard.migration.order import NOBODY, Order
from shippyard.migration.parts import Parts, blocking_for, gather_facts
from shippyard.migration.plan import HEAD, PlanRefused
from shippyard.migration.planner import PlanFailed, Planner, Prepared
from shippyard.migration.resuming import Rest, leftovers_of, run_to_go_on_with
from shippyard.migration.states import ENDS
from shippyard.migration.underway import Active, Busy, UnderWay
from shippyard.migration.undo import Undo
from shippyard.migration.undoing import forbidding, run_to_take_back, taken_back_by, undo_of
from shippyard.postgres.session import QueryFailed, Unreachable
from shippyard.postgres.target import Target

log = structlog.get_logger(__name__)

STOP_WAIT_S = 3.0


class NotConfigured(Exception):
    """The configuration does not allow migrating this database; says what to add."""


class PlanChanged(Exception):
    """The plan is not the one that was meant."""

    def __init__(self, meant: str, found: str) -> None:
        super().__init__(
            f"the plan changed: it is {found[:12]} now, not {meant[:12]}; look at it again"
        )
        self.plan_hash = found


class Migrations:
    """The migrations of every configured database. Safe to use from any thread.

    `targets` maps each database to its migrator login, or None where it has none.
    """

    def __init__(
        self,
        config: Migration | None,
        targets: Mapping[str, Target | None],
        plans_dir: Path,
        parts: Parts,
    ) -> None:
        self._config = config
        self._targets = targets
        self._planner = Planner(plans_dir, parts.supervisor, environment=parts.environment)
        self._under_way = UnderWay(parts.clock)
        self._leavings = Leavings(parts, targets)
        self._parts = parts

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
            metrics.migration_watchdog.labels(database)
            for outcome in ENDS:
                metrics.migration_runs.labels(database, outcome)

    def stop(self) -> None:
        """Make running revisions roll back; returns within about three seconds. Safe twice."""
        self._under_way.stop_all()
        self._parts.supervisor.interrupt()
        self._under_way.wait_idle(STOP_WAIT_S)

    def plan(self, database: str, revision: str = HEAD, *, order: Order) -> Judged:
        """What would run, and what the gates say now to whoever asks.

        Raises:
            NotConfigured, PlanRefused, PlanFailed: one line each.
        """
        known = self._known(self._prepare(database, revision))
        active = self._under_way.of(database)
        facts = gather_facts(
            self._parts,
            known,
            order,
            backup_promised=known.prepared.policy.backup_before,
            active_run=active.run_id if active else None,
        )
        verdicts = ask_all(facts)
        return Judged(known, facts.approvals, verdicts, blocking_for(facts, verdicts, order))

    @contextmanager
    def known(self, database: str, revision: str) -> Iterator[Known]:
        """A plan with its hazards, no gate asked; its files stay for the length of a block.

        Raises:
            NotConfigured, PlanRefused, PlanFailed: one line each.
        """
        known = self._known(self._prepare(database, revision))
        with self._planner.kept(known.prepared, f"rehearsal of {database}"):
            yield known

    def described(self, database: str, revision: str) -> Described:
        """A plan for whoever is to agree to it.

        Raises:
            NotConfigured, PlanRefused, PlanFailed: one line each.
        """
        judged = self.plan(database, revision, order=Order(NOBODY))
        plan = judged.known.prepared.plan
        if not plan.revisions:
            raise PlanRefused(f"{database} is at {plan.target}: there is nothing to run")
        subject = Subject(database, judged.known.plan_hash, plan.content_hash)
        return Described(subject, judged.known.prepared.policy, judged.document())

    def run(
        self,
        database: str,
        revision: str = HEAD,
        *,
        order: Order,
        plan_hash: str | None = None,
        listener: Listener | None = None,
    ) -> Run | None:
        """Bring a database to `revision`; None when it is there already.

        With `plan_hash` only the plan of that hash is run.

        Raises:
            NotConfigured, PlanRefused, PlanFailed: nothing was started.
            PlanChanged, Blocked: it may not run.
            RunFailed, RunInterrupted: it did not get to its end.
        """
        with self._claimed(database) as active:
            heard = _heard_by(active, listener or Listener())
            heard.progress({"phase": "plan", "message": f"planning {database} to {revision}"})
            prepared = self._prepare(database, revision, for_run=True)
            known = self._known(prepared)
            _refuse_changed(known, plan_hash)
            if not prepared.plan.revisions:
                return None
            return self._carry_out(known, order, active, heard)

    def undo(self, run_id: str | None = None) -> Undo:
        """How a run would be taken back, and whether it may be; the newest when none is named.

        Raises:
            NotConfigured, PlanRefused, PlanFailed: one line each.
        """
        run = run_to_take_back(self._parts.journal, run_id)
        return undo_of(run, self._known(self._prepare_again(run)))

    def take_back(self, run_id: str, *, order: Order, listener: Listener | None = None) -> Run:
        """Take a run back by its own downgrades, where that loses nothing.

        Raises:
            NotConfigured, PlanRefused, PlanFailed: nothing was started.
            Blocked: it may not be taken back, or not now.
            RunFailed, RunInterrupted: it did not get to its end.
        """
        run = run_to_take_back(self._parts.journal, run_id)
        with self._claimed(run.database) as active:
            return self._take_back(run, order, active, _heard_by(active, listener or Listener()))

    def rest(self, run_id: str | None = None) -> Rest:
        """What is left of a run that did not get to its end; of the newest when none is named.

        Raises:
            NotConfigured, PlanRefused, PlanFailed: one line each.
        """
        run = run_to_go_on_with(self._parts.journal, run_id)
        if run.way == "up":
            return Rest(run, self._prepare_again(run))
        origin = taken_back_by(self._parts.journal, run)
        known = self._known(self._prepare_again(origin))
        return Rest(run, known.prepared, undo_of(origin, known))

    def resume(self, run_id: str, *, order: Order, listener: Listener | None = None) -> Run:
        """Go on with a run that did not get to its end, with the very same plan.

        Raises:
            NotConfigured, PlanRefused, PlanFailed: nothing was started.
            Blocked: it may not run.
            RunFailed, RunInterrupted: it did not get to its end.
        """
        run = run_to_go_on_with(self._parts.journal, run_id)
        with self._claimed(run.database) as active:
            heard = _heard_by(active, listener or Listener())
            heard.progress({"phase": "plan", "message": f"planning the rest of {run.id}"})
            self._leavings.of(run)
            if run.way == "down":
                origin = taken_back_by(self._parts.journal, run)
                return self._take_back(origin, order, active, heard)
            self._mend(self._prepare_again(run, for_run=True), heard)
            known = self._known(self._prepare_again(run, for_run=True))
            return self._carry_out(known, replace(order, of_run=run), active, heard)

    def cancel(self, database: str, by: str) -> str:
        """Stop a database's run; gives its id.

        Raises:
            NotConfigured: nothing runs there.
        """
        active = self._under_way.stop(database)
        if active is None:
            raise NotConfigured(f"no migration of {database} is under way")
        self._parts.audit.record(by, "run.cancelled", active.run_id, {"database": database})
        self._parts.supervisor.interrupt(active.run_id)
        return active.run_id

    def under_way(self, database: str | None = None) -> list[dict[str, Any]]:
        """What is being migrated now, in JSON."""
        return self._under_way.show(database)

    def history(self, database: str | None = None) -> list[Run]:
        """The last runs, newest first."""
        return self._parts.journal.history(database)

    def interrupted(self, database: str | None = None) -> list[Run]:
        """The newest run of each database, where that was interrupted."""
        newest: dict[str, Run] = {}
        for run in self._parts.journal.history(database):
            newest.setdefault(run.database, run)
        return [run for run in newest.values() if run.state == "interrupted"]

    def find(self, run_id: str) -> Run:
        """One run.

        Raises:
            NotConfigured: there is none of that id.
        """
        found = self._parts.journal.find(run_id)
        if found is None:
            raise NotConfigured(f"no run {run_id!r}; see `shippyard ctl migrate history`")
        return found

    def close_if_idle(self) -> list[str]:
        """Refuse new runs from now on if none is under way; else name what is migrated."""
        return self._under_way.close_if_idle()

    def recover(self) -> list[Run]:
        """Once, when the process starts: mark what nobody carries out any more as interrupted."""
        return [self._leavings.record(run) for run in self._parts.journal.unfinished()]

    def _prepare(self, database: str, revision: str, *, for_run: bool = False) -> Prepared:
        policy, target = self._configured(database)
        return self._planner.prepare(database, target, policy, revision, for_run=for_run)

    def _prepare_again(self, run: Run, *, for_run: bool = False) -> Prepared:
        policy, target = self._configured(run.database)
        return self._planner.prepare_again(run.database, target, policy, run, for_run=for_run)

    def _mend(self, prepared: Prepared, heard: Listener) -> None:
        """Drop what an interrupted build left and the rest of the plan builds anew."""
        left = leftovers_of(prepared)
        for line in left.said:
            heard.progress({"phase": "mend", "message": line})
        try:
            sweep(prepared.target, left.drop)
        except (Unreachable, QueryFailed) as error:
            raise PlanFailed(f"what the run left can't be dropped: {error}") from None

    def _known(self, prepared: Prepared) -> Known:
        return what_is_known(prepared, self._parts.rehearsals, self._parts.advise)

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
    def _claimed(self, database: str) -> Iterator[Active]:
        try:
            with self._under_way.claimed(database) as active:
                try:
                    yield active
                finally:
                    self._planner.let_go(database)
        except Busy as error:
            busy = Verdict("another_run", "block", str(error))
            raise Blocked(busy, [busy]) from None

    def _take_back(self, run: Run, order: Order, active: Active, heard: Listener) -> Run:
        heard.progress({"phase": "plan", "message": f"planning the way back of {run.id}"})
        known = self._known(self._prepare_again(run, for_run=True))
        undo = undo_of(run, known)
        if not undo.verdict.allowed:
            raise Blocked(forbidding(undo), [forbidding(undo)])
        order = replace(order, way="down", of_run=run)
        return self._carry_out(known, order, active, heard, undo)

    def _carry_out(
        self,
        known: Known,
        order: Order,
        active: Active,
        heard: Listener,
        undo: Undo | None = None,
    ) -> Run:
        execution = Execution(self._parts, known, order, heard, active.asked_to_stop, undo=undo)
        active.run_id = execution.run_id
        running = self._parts.metrics.migration_running.labels(active.database)
        running.set(1)
        try:
            return execution.carry_out()
        except RunFailed:
            if execution.integrity and known.prepared.policy.rollback_when_damaged and not undo:
                self._take_back_if_damaged(execution, order, active, heard)
            raise
        finally:
            running.set(0)

    def _take_back_if_damaged(
        self, execution: Execution, order: Order, active: Active, heard: Listener
    ) -> None:
        """Take a damaging run back by itself; what keeps it from that is said, and no more."""
        run = self.find(execution.run_id)
        integrity = execution.integrity
        if integrity is None or integrity.verdict != "damaged":
            return
        heard.progress({"phase": "undo", "message": f"{run.id} did damage: taking it back"})
        try:
            self._take_back(run, order, active, heard)
        except (Blocked, PlanRefused, PlanFailed, RunFailed) as error:
            heard.progress({"phase": "undo", "message": f"it was not taken back: {error}"})
            log.error("migration.not_taken_back", run=run.id, error=str(error))


def _heard_by(active: Active, listener: Listener) -> Listener:
    """The listener, and whoever asks how the run stands."""

    def progress(fields: Mapping[str, Any]) -> None:
        active.tell(fields)
        listener.progress(fields)

    return Listener(progress, listener.on_verdict)


def _refuse_changed(known: Known, meant: str | None) -> None:
    if meant is not None and meant != known.plan_hash:
        raise PlanChanged(meant, known.plan_hash)
