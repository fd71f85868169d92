"""Owns carrying out one run: gates, backup, gates again, runner, verification, record.

Every change of state is written to the journal before the next thing starts. However it ends, it
is recorded with what is then true in the database.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from shippyard.migration.drift import DriftUnknown
from shippyard.migration.facts import Facts, Progress
from shippyard.migration.gates import ask_all
from shippyard.migration.gates.verdict import Verdict
from shippyard.migration.journal import Run
from shippyard.migration.known import Known
from shippyard.migration.order import Order
from shippyard.migration.parts import Parts, blocking_for, gather_facts, plan_hash_of
from shippyard.migration.planner import Look, look_or_none
from shippyard.migration.states import RunEvent
from shippyard.migration.supervise import Event
from shippyard.migration.verification import Health, Verification, watched
from shippyard.migration.wrote import WRITES
from shippyard.postgres.session import one_line
from shippyard.telemetry.condition import Condition

log = structlog.get_logger(__name__)

OnVerdict = Callable[[Verdict], None]


def _ignore(_: Any) -> None:
    """Nobody listens."""


@dataclass(frozen=True)
class Listener:
    """Who is told how far a run is, and what each gate says."""

    progress: Progress = _ignore
    on_verdict: OnVerdict = _ignore


class Blocked(Exception):
    """A gate forbids it; the message names the first one that does."""

    def __init__(self, blocking: Verdict, verdicts: Sequence[Verdict]) -> None:
        super().__init__(f"gate {blocking.gate}: {blocking.summary}")
        self.verdicts = tuple(verdicts)


class RunFailed(Exception):
    """The run did not reach its target; one line with what is left in the database."""


class RunInterrupted(RunFailed):
    """The run was stopped on purpose or by a crash."""


class Execution:
    """One run, from its first gate to its record."""

    def __init__(
        self,
        parts: Parts,
        known: Known,
        order: Order,
        listener: Listener,
        stopping: threading.Event,
    ) -> None:
        self._parts = parts
        self._known = known
        self._prepared = known.prepared
        self._plan = known.prepared.plan
        self._verification = Verification(known.prepared, parts.clock)
        self._order = order
        self._stopping = stopping
        self._progress = listener.progress
        self._on_verdict = listener.on_verdict
        self._said: dict[str, Verdict] = {}
        self._may_have_changed = False
        self._started_s = parts.clock.monotonic()
        self._plan_hash = plan_hash_of(known, order)
        self.run_id = parts.journal.open(
            self._plan,
            order.by.user,
            plan_hash=self._plan_hash,
            way=order.way,
            of_run=order.of_run.id if order.of_run else None,
        )

    def carry_out(self) -> Run:
        """Do it all.

        Raises:
            Blocked, RunInterrupted, RunFailed: recorded before they are raised.
        """
        self._audit("run.requested", self._identity())
        if self._order.emergency:
            said = f"{self._order.by.user} runs {self._plan.target} past gates, with a second yes"
            self._parts.tell(Condition("migration_emergency", self._plan.database, said))
        try:
            self._steps()
        except Blocked as error:
            self._audit("run.blocked", {"reason": str(error)})
            self._finish("failed", "blocked", f"blocked: {error}")
            raise
        except RunInterrupted as error:
            raise RunInterrupted(self._finish_badly("interrupted", error)) from None
        except Exception as error:
            if self._stopping.is_set():
                raise RunInterrupted(self._finish_badly("interrupted", error)) from None
            raise RunFailed(self._finish_badly("failed", error)) from error
        return self._finish("verified", "done", None)

    def _steps(self) -> None:
        backup_first = self._prepared.policy.backup_before
        self._pass_gates(backup_promised=backup_first)
        if backup_first:
            self._back_up()
            self._pass_gates(backup_promised=False)
        self._tell("verify", "looking at the data before")
        self._verification.look_before()
        with watched(self._prepared, self._parts.clock, self._stopping) as health:
            self._apply()
            self._verify()
            self._watch(health)

    def _pass_gates(self, *, backup_promised: bool) -> None:
        self._refuse_if_stopping()
        self._tell("gate", "asking the gates")
        facts = self._facts(backup_promised=backup_promised)
        verdicts = ask_all(facts)
        for verdict in verdicts:
            if self._said.get(verdict.gate) != verdict:
                self._said[verdict.gate] = verdict
                self._on_verdict(verdict)
        self._parts.journal.note(self.run_id, verdicts=[v.document() for v in verdicts])
        blocking = blocking_for(facts, verdicts, self._order)
        if blocking:
            self._parts.metrics.migration_blocked_by.labels(
                self._plan.database, blocking.gate
            ).inc()
            raise Blocked(blocking, verdicts)
        self._judged()

    def _judged(self) -> None:
        if self._parts.journal.get(self.run_id).state == "planned":
            self._parts.journal.move(self.run_id, "rehearsal_judged")
            self._parts.journal.move(self.run_id, "approval_judged")
        self._parts.journal.move(self.run_id, "gates_passed")

    def _facts(self, *, backup_promised: bool) -> Facts:
        """What the gates judge by, asked anew."""
        return gather_facts(self._parts, self._known, self._order, backup_promised=backup_promised)

    def _back_up(self) -> None:
        self._tell("backup", f"taking a full backup of {self._plan.database}")

        def forward(fields: Mapping[str, Any]) -> None:
            self._progress({"message": "taking the backup", **fields, "phase": "backup"})

        backup = self._parts.backups.take(
            self._plan.database, held_by=self.run_id, progress=forward
        )
        self._parts.journal.backed_up(self.run_id, backup.id)
        self._parts.journal.step(self.run_id, {"event": "backed_up", "backup": backup.id})

    def _apply(self) -> None:
        self._refuse_if_stopping()
        self._parts.journal.move(self.run_id, "started")
        self._may_have_changed = True
        self._audit("run.started", self._identity())
        timeout_s = self._prepared.policy.timeout_s
        started_s = self._parts.clock.monotonic()
        spec = self._prepared.run_spec(self.run_id, rehearsed=self._known.rehearsal)
        ending = self._parts.supervisor.run(spec, timeout_s, self._on_event)
        match ending.outcome:
            case "applied":
                self._parts.journal.move(self.run_id, "applied")
            case "refused":
                self._may_have_changed = False
                lock = Verdict("another_run", "block", ending.message)
                self._on_verdict(lock)
                raise Blocked(lock, [lock])
            case "interrupted":
                if self._parts.clock.monotonic() - started_s >= timeout_s:
                    raise RunFailed(f"ended after migration.timeout_s = {timeout_s:g} s")
                raise RunInterrupted(ending.message)
            case "failed" if ending.half_applied:
                raise RunFailed(f"{ending.message}; what it committed before stays")
            case "failed":
                raise RunFailed(f"{ending.message}; this revision was rolled back")

    def _verify(self) -> None:
        self._tell("verify", "looking at what the database says now")
        found = look_or_none(self._prepared.target)
        if found is None:
            raise RunFailed("applied, but the server did not say where it stands now")
        if found.current != self._plan.target:
            raise RunFailed(f"the runner said done, but the version is not {self._plan.target}")
        left = self._new_invalid_indexes(found)
        if left:
            raise RunFailed("a concurrent build did not finish")
        self._look_at_integrity()

    def _look_at_integrity(self) -> None:
        """Whether what the plan had not to touch is as it was."""
        steps = self._parts.journal.get(self.run_id).detail["steps"]
        found = self._verification.look_after(steps)
        self._parts.journal.note(self.run_id, integrity=found.document())
        self._tell("verify", f"integrity: {found.verdict}")
        database = self._plan.database
        if found.verdict == "damaged":
            said = f"the data is not whole: {found.findings[0]}"
            self._parts.tell(Condition("migration_damaged", database, said))
            raise RunFailed(said)
        self._parts.tell(Condition("migration_damaged", database, None))

    def _watch(self, health: Health) -> None:
        """Whether the application fares as it did before; it is told, and takes nothing back."""
        found = health.watch(lambda left_s: self._tell("watch", f"watching for {left_s:.0f} s"))
        if found is None:
            return
        self._parts.journal.note(self.run_id, aftercare=found.document())
        hurts = found.evidence[0] if found.verdict == "hurting" else None
        self._parts.tell(Condition("migration_hurting", self._plan.database, hurts))

    def _on_event(self, event: Event) -> None:
        if event.get("event") == "progress":  # told to whoever looks on, not worth a record
            self._parts.batch_seen(self._plan.database, event)
        else:
            self._parts.journal.step(self.run_id, event)
        if event.get("event") == "lock_retry":
            self._parts.metrics.migration_lock_retries.labels(self._plan.database).inc()
        if "revision" in event and "attempt" in event and event.get("event") not in WRITES:
            more = {"revision": event["revision"], "attempt": event["attempt"]}
            self._tell("run", message_of(event), **more)

    def _finish_badly(self, event: RunEvent, error: Exception) -> str:
        """Record a bad end and give its one line, with what is left in the database."""
        found = look_or_none(self._prepared.target)
        said = f"{one_line(error)}; {self._what_is_left(found)}"
        self._finish(event, event, said)
        return said

    def _what_is_left(self, found: Look | None) -> str:
        if found is None:
            return "where the database stands could not be read"
        left = self._new_invalid_indexes(found)
        standing = f"the database is at {found.current or 'no revision'}"
        if not left:
            return standing
        return f"{standing}, INVALID: {', '.join(left)}; drop with DROP INDEX CONCURRENTLY"

    def _new_invalid_indexes(self, found: Look) -> list[str]:
        before = set(self._prepared.seen.server.invalid_indexes)
        return [name for name in found.server.invalid_indexes if name not in before]

    def _finish(self, event: RunEvent, outcome: str, error: str | None) -> Run:
        run = self._parts.journal.move(self.run_id, event, error)
        self._let_go_of_backups(run)
        head = self._audit("run.finished", {"state": run.state, "error": error})
        self._parts.remember()
        database = run.database
        self._parts.metrics.migration_runs.labels(database, outcome).inc()
        if outcome != "blocked":
            self._parts.tell(Condition("migration_failed", database, error, "ticket"))
        if self._order.emergency:
            self._parts.tell(Condition("migration_emergency", database, None))
        if run.state == "done":
            self._parts.book.spend(database, self._plan_hash, run.id)
            self._expect(database)
            now = self._parts.clock.now().timestamp()
            self._parts.metrics.migration_last_success.labels(database).set(now)
        log.info(
            "migration.finished",
            run=run.id,
            database=database,
            outcome=outcome,
            from_revision=run.from_revision,
            to_revision=run.to_revision,
            requested_by=run.requested_by,
            error=error,
            audit_head=head,
            elapsed_s=round(self._parts.clock.monotonic() - self._started_s, 3),
        )
        return run

    def _expect(self, database: str) -> None:
        try:
            self._parts.drifts.expect_what_is(database)
        except DriftUnknown as error:
            log.warning("migration.schema_unknown", run=self.run_id, error=str(error))

    def _let_go_of_backups(self, run: Run) -> None:
        """A way back is kept only for a run that may have changed something and did not succeed."""
        if run.state == "done":
            let_go(lambda: self._parts.backups.release_earlier(run.database, than=run.id), run)
        elif not self._may_have_changed:
            let_go(lambda: self._parts.backups.release(run.database, held_by=run.id), run)

    def _identity(self) -> dict[str, Any]:
        return {
            "database": self._plan.database,
            "from_revision": self._plan.current,
            "to_revision": self._plan.target,
            "content_hash": self._plan.content_hash,
            "plan_hash": self._plan_hash,
            "emergency": self._order.emergency,
        }

    def _audit(self, action: str, detail: Mapping[str, Any]) -> str:
        return self._parts.audit.record(self._order.by.user, action, self.run_id, detail)

    def _tell(self, phase: str, message: str, **more: Any) -> None:
        self._progress({"phase": phase, "run": self.run_id, "message": message, **more})

    def _refuse_if_stopping(self) -> None:
        if self._stopping.is_set():
            raise RunInterrupted("it was asked to stop")


def let_go(release: Callable[[], None], run: Run) -> None:
    """Release backups; trouble with that must not change how a run ended."""
    try:
        release()
    except Exception as error:  # noqa: BLE001  whatever it is, only an old backup stays longer
        log.warning("migration.hold_kept", run=run.id, error=one_line(error))


def message_of(event: Event) -> str:
    """What a person is told about one of the runner's events. It may say anything at all."""
    revision = event.get("revision")
    match event.get("event"):
        case "revision_started":
            return f"applying {revision}"
        case "lock_retry":
            return f"{revision}: a lock was not free, trying again in {event.get('pause_s')} s"
        case "revision_done":
            return f"{revision} applied in {event.get('elapsed_s')} s"
        case "progress":
            return str(event.get("message"))
        case _:
            return f"{revision}: {event.get('message', event.get('event'))}"
