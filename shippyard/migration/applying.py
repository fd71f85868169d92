"""Owns taking the revisions of a spec, one after the other, and trying again what may be.

Before each attempt old transactions are let go first; during it somebody looks after the
application. A lock that is not free in time is given up, so that the application's statements queue
behind us no longer than that, and the whole revision is tried again. Loads Alembic, and user code.
"""

import random
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import psycopg
from alembic import command
from sqlalchemy import Engine, NullPool, create_engine

from shippyard.host.clock import SystemClock
from shippyard.migration.attempt import Attempt
from shippyard.migration.child import Emit, alembic_config, said
from shippyard.migration.clearing import Clearing
from shippyard.migration.connecting import WitnessedConnection, connect_apart, connect_witnessed
from shippyard.migration.expecting import stronger
from shippyard.migration.leftovers import Leftover, is_left_by, read_leftovers
from shippyard.migration.manners import Manners
from shippyard.migration.patience import Patience, statement_timeout_s
from shippyard.migration.recording.modes import CONFLICTS
from shippyard.migration.spec import RunSpec, Step
from shippyard.migration.stopping import Interrupted, told_to_stop
from shippyard.migration.undo_guard import refuse_losses
from shippyard.migration.version_table import read_current
from shippyard.migration.waits import ask
from shippyard.migration.watchdog import Watch, Watchdog
from shippyard.migration.wrote import tell_what_is_written

RETRIED = frozenset({"55P03", "40P01"})  # lock_not_available, deadlock_detected
# query_canceled, admin_shutdown, and a session that ended without a word
STRUCK = frozenset({"57014", "57P01", None})
MOVED = "somebody moved it since the plan; plan again"
UNUSED = "env.py must use config.attributes['connection'] and commit"
WATCH_OPTIONS = "-c role=none -c statement_timeout=2s -c lock_timeout=1s"
"""The login's own sessions may be cancelled by the login, not by the role that it acts as."""


class RevisionFailed(Exception):
    """A revision did not go through; `half_applied` says that some of it stays."""

    def __init__(
        self, step: Step, message: str, *, sqlstate: str | None = None, half_applied: bool = False
    ) -> None:
        super().__init__(message)
        self.revision = step.revision
        self.sqlstate = sqlstate
        self.half_applied = half_applied


class Applying:
    """Takes the steps of one spec. `guard` is the session that holds the lock."""

    def __init__(
        self, spec: RunSpec, guard: psycopg.Connection[dict[str, Any]], emit: Emit
    ) -> None:
        self._spec = spec
        self._guard = guard
        self._emit = emit
        self._clock = SystemClock()
        self._pause = threading.Event()
        self._patience = Patience(
            spec.lock_timeout_min_ms, spec.lock_timeout_ms, spec.lock_attempts, spec.retry_pause_s
        )
        self._clearing = Clearing(guard, self._patience, self._pause)
        self._watchdog = Watchdog(
            lambda: connect_apart(spec.conninfo, self._name("migrate-watch"), WATCH_OPTIONS)
        )
        self._asked_for: dict[str, str] = {}
        self._cancelled = 0
        self._left_before: frozenset[str] = frozenset()
        self._xids: list[str] = []
        self._told_of_settings = False

    def all(self) -> None:
        """Every step.

        Raises:
            RevisionFailed: one did not go through; those before it stay.
            Interrupted: told to stop.
            psycopg.Error: the server is gone.
        """
        with self._watchdog.running():
            for step in self._spec.steps:
                self._apply(step)

    def _apply(self, step: Step) -> None:
        started_s = self._clock.monotonic()
        self._asked_for = dict(self._spec.expected.locks.get(step.revision, {}))
        self._cancelled = 0
        self._left_before = frozenset(each.name for each in self._leftovers())
        attempt = 1
        while not self._applied(step, attempt):
            attempt += 1
        self._expect(step, step.between(self._spec.way)[1], UNUSED)
        elapsed_s = self._clock.monotonic() - started_s
        self._say("revision_done", step, attempt, elapsed_s=round(elapsed_s, 3))

    def _applied(self, step: Step, number: int) -> bool:
        """One attempt: False when it was not its turn, and it may be tried again."""
        before, after = step.between(self._spec.way)
        if number > 1 and self._current() == after:
            return True  # the attempt before was committed, and could not be told
        self._expect(step, before, MOVED)
        lock_ms = self._clearing.lock_ms(number, known=bool(self._asked_for))
        self._clearing.wait(self._asked_for, lock_ms, self._telling(step, number))
        self._say("revision_started", step, number)
        attempt = Attempt(self._manners(step, lock_ms), partial(self._mended, step, number))
        watch = None
        try:
            with self._watched(attempt, step, number) as watch:
                self._go(attempt, step, number)
        except (Exception, SystemExit) as error:  # noqa: BLE001  user code may raise anything
            if told_to_stop.is_set():
                # What user code was cut off in may fail once more while it cleans up.
                raise Interrupted from None
            self._refuse_if_final(attempt, watch, step, number, error)
            self._wait_a_little(step, number, _sqlstate_of(error))
            return False
        return True

    def _refuse_if_final(
        self,
        attempt: Attempt,
        watch: Watch | None,
        step: Step,
        number: int,
        error: BaseException,
    ) -> None:
        """Raise what went wrong, unless the whole of it may be tried again."""
        sqlstate = _sqlstate_of(error)
        struck = watch is not None and watch.struck and sqlstate in STRUCK
        for relation, mode in (watch.asked_for if watch else {}).items():
            if mode in CONFLICTS:
                self._asked_for[relation] = stronger(mode, self._asked_for.get(relation))
        self._cancelled += struck
        again = (struck or sqlstate in RETRIED) and not attempt.stays
        last = self._patience.is_last(number, self._cancelled)
        if again and not last and self._is_swept(attempt, step, number):
            return
        message = said(_cause_of(error))
        if struck:
            message = self._in_the_way(step)
        half = attempt.half_applied
        raise RevisionFailed(step, message, sqlstate=sqlstate, half_applied=half) from error

    def _in_the_way(self, step: Step) -> str:
        return (
            f"the application waited for it for longer than {self._may_block_ms(step):.0f} ms, "
            f"in {self._cancelled} attempt(s); rehearse it, so that it is known how long it takes, "
            "or make it smaller"
        )

    def _is_swept(self, attempt: Attempt, step: Step, number: int) -> bool:
        """Drop what a concurrent build of this attempt left; False when something stays."""
        if not attempt.concurrent:
            return True
        new = [each for each in self._leftovers() if each.name not in self._left_before]
        ours = [each for each in new if is_left_by(each, attempt.concurrent)]
        try:
            for each in ours:
                self._drop(each, step, number)
        except psycopg.Error:
            return False
        return len(ours) == len(new)

    def _drop(self, left: Leftover, step: Step, number: int) -> None:
        statement = f"DROP INDEX CONCURRENTLY IF EXISTS {left.name}"
        attempt = Attempt(self._manners(step, self._spec.lock_timeout_ms), lambda _: None)
        session = self._open(attempt)
        with session, self._watched(attempt, step, number):
            session.autocommit = True
            session.execute(statement.encode())
        self._say("swept", step, number, message=f"dropped {left.name}, which it left {left.what}")

    def _go(self, attempt: Attempt, step: Step, number: int) -> None:
        engine = self._engine(attempt, step, number)
        config = alembic_config(self._spec.copy, self._spec.ini, self._spec.scripts)
        # the same patience for steps that try again by themselves
        config.attributes["lock_attempts"] = self._spec.lock_attempts
        config.attributes["retry_pause_s"] = self._spec.retry_pause_s
        config.attributes["progress"] = partial(self._report, step, number)
        # Handed over outside a transaction: inside one, autocommit_block would break.
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            if self._spec.way == "up":
                command.upgrade(config, step.revision)
            else:
                command.downgrade(config, step.down or "base")

    def _engine(self, attempt: Attempt, step: Step, number: int) -> Engine:
        engine = create_engine(
            "postgresql+psycopg://", creator=lambda: self._open(attempt), poolclass=NullPool
        )
        refuse_losses(engine, self._spec.guards_of(step), self._xids)
        tell_what_is_written(engine, partial(self._tell_written, step, number))
        return engine

    def _open(self, attempt: Attempt) -> WitnessedConnection:
        name, options = self._name("migrate"), attempt.manners.options
        return attempt.adopt(connect_witnessed(self._spec.conninfo, name, options, attempt))

    def _watched(self, attempt: Attempt, step: Step, number: int) -> Any:
        return self._watchdog.over(
            attempt,
            self._telling(step, number),
            may_block_ms=self._may_block_ms(step),
            expected_s=self._spec.expected.elapsed_s.get(step.revision),
        )

    def _may_block_ms(self, step: Step) -> float:
        approved = self._spec.expected.may_block_ms.get(step.revision, 0.0)
        return max(self._spec.watchdog_ms, approved)

    def _manners(self, step: Step, lock_ms: int) -> Manners:
        longest_s = self._spec.statement_timeout_s
        expected_s = self._spec.expected.elapsed_s.get(step.revision)
        one_s = statement_timeout_s(expected_s, longest_s)
        return Manners(lock_ms, int(one_s * 1000), int(longest_s * 1000), self._spec.server_version)

    def _wait_a_little(self, step: Step, number: int, sqlstate: str | None) -> None:
        luck = random.random()  # noqa: S311  not a secret
        pause_s = self._patience.pause_after_s(number, luck)
        self._say("lock_retry", step, number, sqlstate=sqlstate, pause_s=round(pause_s, 3))
        self._pause.wait(pause_s)

    def _expect(self, step: Step, revision: str | None, otherwise: str) -> None:
        found = self._current()
        if found != revision:
            raise RevisionFailed(step, f"the version is {found}, not {revision}; {otherwise}")

    def _current(self) -> str | None:
        return read_current(partial(ask, self._guard))

    def _leftovers(self) -> Sequence[Leftover]:
        return read_leftovers(partial(ask, self._guard))

    def _name(self, purpose: str) -> str:
        return f"shippyard:{purpose}:{self._spec.run_id}"

    def _mended(self, step: Step, number: int, names: Sequence[str]) -> None:
        """Settings that the migration changed are set back; said once."""
        if not self._told_of_settings:
            self._told_of_settings = True
            message = f"it changed {', '.join(names)}; set back, as before every statement"
            self._say("settings", step, number, settings=list(names), message=message)

    def _tell_written(self, step: Step, attempt: int, event_name: str, **more: Any) -> None:
        """What is about to be committed."""
        if "xid" in more:
            self._xids.append(str(more["xid"]))
        self._say(event_name, step, attempt, **more)

    def _report(self, step: Step, attempt: int, fields: Mapping[str, Any]) -> None:
        """How far a long step came."""
        self._say("progress", step, attempt, **fields)

    def _telling(self, step: Step, number: int) -> Any:
        def tell(event_name: str, **more: Any) -> None:
            self._say(event_name, step, number, **more)

        return tell

    def _say(self, event_name: str, step: Step, attempt: int, **more: Any) -> None:
        self._emit({"event": event_name, "revision": step.revision, "attempt": attempt, **more})


def _sqlstate_of(error: BaseException | None) -> str | None:
    """The server's code, also when user code wrapped the error."""
    while error is not None:
        state = getattr(getattr(error, "orig", error), "sqlstate", None)
        if state:
            return str(state)
        error = error.__cause__ or error.__context__
    return None


def _cause_of(error: BaseException) -> BaseException:
    """The driver's own words instead of SQLAlchemy's page around them."""
    original = getattr(error, "orig", None)
    return original if isinstance(original, BaseException) else error
