"""Owns carrying out one run: gates, backup, gates again, runner, verification.

Every change of state is written to the journal before the next thing starts. A run that goes down
takes another one back; it needs no backup, because it was seen to lose nothing.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shippyard.migration.closing import Closing, identity_of
from shippyard.migration.facts import Facts, Progress
from shippyard.migration.gates import ask_all
from shippyard.migration.gates.verdict import Verdict
from shippyard.migration.integrity import Integrity
from shippyard.migration.journal import Run
from shippyard.migration.known import Known
from shippyard.migration.order import Order
from shippyard.migration.parts import Parts, blocking_for, gather_facts, plan_hash_of
from shippyard.migration.planner import look_or_none
from shippyard.migration.spec import RunSpec, Way
from shippyard.migration.supervise import Event
from shippyard.migration.undo import Undo
from shippyard.migration.verification import Health, Verification, watched
from shippyard.migration.wrote import WRITES
from shippyard.telemetry.condition import Condition

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
        *,
        undo: Undo | None = None,
    ) -> None:
        """`undo` is the way back that is taken, where the order goes down."""
        self._parts = parts
        self._known = known
        self._prepared = known.prepared
        self._plan = known.prepared.plan
        self._undo = undo
        self._verification = Verification(known, parts.clock, undo)
        self._order = order
        self._stopping = stopping
        self._progress = listener.progress
        self._on_verdict = listener.on_verdict
        self._said: dict[str, Verdict] = {}
        self.integrity: Integrity | None = None
        self.run_id = parts.journal.open(
            self._plan,
            order.by.user,
            plan_hash=plan_hash_of(known, order),
            way=order.way,
            of_run=order.of_run.id if order.of_run else None,
            ends=(undo.at, undo.to) if undo else None,
        )
        self._closing = Closing(parts, known, order, self.run_id)

    def carry_out(self) -> Run:
        """Do it all.

        Raises:
            Blocked, RunInterrupted, RunFailed: recorded before they are raised.
        """
        self._audit("run.requested", identity_of(self._run, self._order))
        if self._order.emergency:
            said = f"{self._order.by.user} runs {self._plan.target} past gates, with a second yes"
            self._parts.tell(Condition("migration_emergency", self._plan.database, said))
        try:
            self._steps()
        except Blocked as error:
            self._audit("run.blocked", {"reason": str(error)})
            self._closing.end("failed", "blocked", f"blocked: {error}")
            raise
        except RunInterrupted as error:
            raise RunInterrupted(self._closing.badly("interrupted", error)) from None
        except Exception as error:
            if self._stopping.is_set():
                raise RunInterrupted(self._closing.badly("interrupted", error)) from None
            raise RunFailed(self._closing.badly("failed", error)) from error
        return self._closing.end("verified", "done", None)

    @property
    def _run(self) -> Run:
        return self._parts.journal.get(self.run_id)

    @property
    def _end(self) -> str | None:
        """The revision that the database must be at afterwards."""
        return self._undo.to if self._undo else self._plan.target

    def _steps(self) -> None:
        backup_first = self._prepared.policy.backup_before and self._undo is None
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
        if self._run.state == "planned":
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
        self._closing.may_have_changed = True
        self._audit("run.started", identity_of(self._run, self._order))
        timeout_s = self._prepared.policy.timeout_s
        started_s = self._parts.clock.monotonic()
        spec = self._spec()
        ending = self._parts.supervisor.run(spec, timeout_s, self._on_event)
        match ending.outcome:
            case "applied":
                self._parts.journal.move(self.run_id, "applied")
            case "refused":
                self._closing.may_have_changed = False
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

    def _spec(self) -> RunSpec:
        prepared, report = self._prepared, self._known.rehearsal
        if self._undo is None:
            return prepared.run_spec(self.run_id, rehearsed=report)
        return prepared.run_spec(
            self.run_id,
            way="down",
            steps=self._undo.steps,
            guards=self._undo.guards,
            rehearsed=report,
        )

    def _verify(self) -> None:
        self._tell("verify", "looking at what the database says now")
        found = look_or_none(self._prepared.target)
        if found is None:
            raise RunFailed("applied, but the server did not say where it stands now")
        if found.current != self._end:
            raise RunFailed(f"the runner said done, but the version is not {self._end or 'base'}")
        if self._closing.new_invalid_indexes(found):
            raise RunFailed("a concurrent build did not finish")
        self._look_at_integrity()

    def _look_at_integrity(self) -> None:
        """Whether what the plan had not to touch is as it was."""
        found = self.integrity = self._verification.look_after(self._run.detail["steps"])
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
        metrics = self._parts.metrics
        match event.get("event"):
            case "lock_retry":
                metrics.migration_lock_retries.labels(self._plan.database).inc()
            case "watchdog":
                metrics.migration_watchdog.labels(self._plan.database).inc()
        if "revision" in event and "attempt" in event and event.get("event") not in WRITES:
            more = {"revision": event["revision"], "attempt": event["attempt"]}
            self._tell("run", message_of(event, self._order.way), **more)

    def _audit(self, action: str, detail: Mapping[str, Any]) -> str:
        return self._parts.audit.record(self._order.by.user, action, self.run_id, detail)

    def _tell(self, phase: str, message: str, **more: Any) -> None:
        self._progress({"phase": phase, "run": self.run_id, "message": message, **more})

    def _refuse_if_stopping(self) -> None:
        if self._stopping.is_set():
            raise RunInterrupted("it was asked to stop")


def message_of(event: Event, way: Way = "up") -> str:
    """What a person is told about one of the runner's events. It may say anything at all."""
    revision = event.get("revision")
    match event.get("event"):
        case "revision_started":
            return f"applying {revision}" if way == "up" else f"taking {revision} back"
        case "lock_retry":
            return f"{revision}: a lock was not free, trying again in {event.get('pause_s')} s"
        case "revision_done":
            done = "applied" if way == "up" else "taken back"
            return f"{revision} {done} in {event.get('elapsed_s')} s"
        case "progress":
            return str(event.get("message"))
        case _:
            return f"{revision}: {event.get('message', event.get('event'))}"
