"""Owns applying revisions: `python -m shippyard.migration.runner`, one child per run.

Reads a `RunSpec` from stdin, says what it does in JSON lines on stdout, and never decides whether
a run may happen. Settings travel as libpq options, because a rollback would drop a `SET`. A lock
that is not free in time is given up, so that the application's statements queue behind us no
longer than `lock_timeout`, and the whole revision is tried again.
"""

import random
import re
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, LiteralString, NoReturn

import psycopg
from alembic import command
from psycopg import sql
from psycopg.rows import dict_row
from sqlalchemy import Connection, Engine, NullPool, create_engine, event

from shippyard.host.clock import SystemClock
from shippyard.host.secrets import remember
from shippyard.migration.child import Emit, alembic_config, claim_stdout, said
from shippyard.migration.plan import PlanRefused
from shippyard.migration.spec import SPEC_MAX_BYTES, RunSpec, Step
from shippyard.migration.tree import differences
from shippyard.migration.undo_guard import refuse_losses
from shippyard.migration.version_table import read_current
from shippyard.migration.wrote import tell_what_is_written
from shippyard.postgres.locks import BACKUP_LOCK, MIGRATION_KEY, SHARED, holders_question

RETRIED = frozenset({"55P03", "40P01"})  # lock_not_available, deadlock_detected
CONNECT_TIMEOUT_S = 10
CLIENT_CHECK_SINCE = 140_000
MOVED = "somebody moved it since the plan; plan again"
UNUSED = "env.py must use config.attributes['connection'] and commit"
CONCURRENTLY = re.compile(r"(?is)\b(CREATE|DROP|REINDEX|DETACH)\b.*\bCONCURRENTLY\b")
READS = re.compile(r"(?is)\s*(SHOW|SET|SAVEPOINT|RELEASE|SELECT\b.*\bpg_catalog)\b")


_told_to_stop = threading.Event()


class Interrupted(KeyboardInterrupt):
    """SIGTERM came. psycopg takes a KeyboardInterrupt as a reason to cancel what it waits for."""


class LockHeld(Exception):
    """Somebody else is migrating this database."""


class RevisionFailed(Exception):
    """A revision did not go through; `half_applied` says that some of it stays."""

    def __init__(
        self, step: Step, message: str, *, sqlstate: str | None = None, half_applied: bool = False
    ) -> None:
        super().__init__(message)
        self.revision = step.revision
        self.sqlstate = sqlstate
        self.half_applied = half_applied


class Attempt:
    """Watches one attempt at one revision: which lock_timeout holds, and what got committed.

    Statements sent past SQLAlchemy, through the driver's own connection, are not seen.
    """

    def __init__(self, engine: Engine, lock_timeout_ms: int) -> None:
        self._lock_timeout_ms = self._in_force_ms = lock_timeout_ms
        self._changed = False
        self._committing = False
        self._concurrent = False
        self._committed = False
        event.listen(engine, "before_cursor_execute", self._before)
        event.listen(engine, "after_cursor_execute", self._after)
        event.listen(engine, "commit", self._commit)
        event.listen(engine, "rollback", self._rollback)

    @property
    def half_applied(self) -> bool:
        """True when something of the revision stays although it failed."""
        return self._committed or self._concurrent

    def _before(self, _: Connection, cursor: Any, statement: str, *__: Any) -> None:
        # A statement after a commit proves that the commit went through.
        self._committed |= self._committing
        self._committing = False
        concurrent = CONCURRENTLY.search(statement) is not None
        self._concurrent |= concurrent
        # Concurrent builds wait for old snapshots under a lock that stops no reader or writer;
        # giving up there would leave an INVALID index. statement_timeout still bounds them.
        wanted_ms = 0 if concurrent else self._lock_timeout_ms
        if wanted_ms != self._in_force_ms:
            cursor.execute(f"SET lock_timeout = {wanted_ms}")
            self._in_force_ms = wanted_ms

    def _after(self, connection: Connection, _: Any, statement: str, *__: Any) -> None:
        if READS.match(statement) or "alembic_version" in statement:
            return
        driver: Any = connection.connection.dbapi_connection
        self._changed = True
        self._committed |= bool(driver.autocommit)

    def _commit(self, _: Connection) -> None:
        self._committing, self._changed = self._changed, False

    def _rollback(self, _: Connection) -> None:
        self._changed = False


class Runner:
    """Applies the revisions of one spec, one at a time."""

    def __init__(self, spec: RunSpec, emit: Emit) -> None:
        self._spec = spec
        self._emit = emit
        self._clock = SystemClock()
        self._pause = threading.Event()
        self._xids: list[str] = []

    def run(self) -> None:
        """Hold the lock, apply every revision, let go.

        Raises:
            LockHeld, PlanRefused, RevisionFailed, psycopg.Error: said in one line each.
        """
        changed = differences(Path(self._spec.copy), self._spec.hashes)
        if changed:
            raise PlanRefused(f"files changed after the plan: {', '.join(changed)}; plan again")
        # A connection of its own, outside any transaction: a snapshot held here, or a wait for the
        # lock, would deadlock a concurrent index build.
        with self._connect("migrate-lock") as guard:
            self._take_lock(guard)
            for step in self._spec.steps:
                self._apply(guard, step)
        self._emit({"event": "done"})

    def _take_lock(self, guard: psycopg.Connection[Any]) -> None:
        question = f"SELECT pg_catalog.pg_try_advisory_lock({MIGRATION_KEY}) AS taken"
        if not self._ask(guard, question)[0]["taken"]:
            raise LockHeld(_why_held(self._ask(guard, holders_question(MIGRATION_KEY))))
        self._emit({"event": "locked"})

    def _apply(self, guard: psycopg.Connection[Any], step: Step) -> None:
        started = self._clock.monotonic()
        attempt = 1
        while not self._applied(guard, step, attempt):
            attempt += 1
        self._expect(guard, step, step.between(self._spec.way)[1], UNUSED)
        elapsed_s = self._clock.monotonic() - started
        self._say("revision_done", step, attempt, elapsed_s=round(elapsed_s, 3))

    def _applied(self, guard: psycopg.Connection[Any], step: Step, number: int) -> bool:
        """One attempt: False when a lock was not free and it may be tried again."""
        self._expect(guard, step, step.between(self._spec.way)[0], MOVED)
        self._say("revision_started", step, number)
        engine = create_engine(
            "postgresql+psycopg://", creator=lambda: self._connect("migrate"), poolclass=NullPool
        )
        attempt = Attempt(engine, self._spec.lock_timeout_ms)
        refuse_losses(engine, self._spec.guards_of(step), self._xids)
        tell_what_is_written(engine, partial(self._tell_written, step, number))
        try:
            self._go(engine, step, number)
        except (Exception, SystemExit) as error:
            if _told_to_stop.is_set():
                # What user code was cut off in may fail once more while it cleans up.
                raise Interrupted from None
            sqlstate = _sqlstate_of(error)
            if sqlstate not in RETRIED or attempt.half_applied or self._is_last(number):
                raise RevisionFailed(
                    step,
                    said(_cause_of(error)),
                    sqlstate=sqlstate,
                    half_applied=attempt.half_applied,
                ) from error
            self._wait_a_little(step, number, sqlstate)
            return False
        return True

    def _go(self, engine: Engine, step: Step, number: int) -> None:
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

    def _wait_a_little(self, step: Step, number: int, sqlstate: str | None) -> None:
        # Jitter, so that we do not meet a periodic transaction each time.
        pause_s = self._spec.retry_pause_s * random.uniform(0.5, 1.5)  # noqa: S311  not a secret
        self._say("lock_retry", step, number, sqlstate=sqlstate, pause_s=round(pause_s, 3))
        self._pause.wait(pause_s)

    def _is_last(self, number: int) -> bool:
        return number >= self._spec.lock_attempts

    def _expect(
        self, guard: psycopg.Connection[Any], step: Step, revision: str | None, otherwise: str
    ) -> None:
        found = read_current(lambda statement: self._ask(guard, statement))
        if found != revision:
            raise RevisionFailed(step, f"the version is {found}, not {revision}; {otherwise}")

    def _ask(self, guard: psycopg.Connection[Any], statement: str) -> Sequence[Mapping[str, Any]]:
        literal: LiteralString = statement
        return guard.cursor(row_factory=dict_row).execute(sql.SQL(literal)).fetchall()

    def _connect(self, purpose: str) -> psycopg.Connection[Any]:
        return psycopg.connect(
            **self._spec.conninfo,
            autocommit=purpose == "migrate-lock",
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name=f"shippyard:{purpose}:{self._spec.run_id}",
            options=connection_options(self._spec),
            keepalives=1,
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
        )

    def _tell_written(self, step: Step, attempt: int, event_name: str, **more: Any) -> None:
        """What is about to be committed."""
        if "xid" in more:
            self._xids.append(str(more["xid"]))
        self._say(event_name, step, attempt, **more)

    def _report(self, step: Step, attempt: int, fields: Mapping[str, Any]) -> None:
        """How far a long step came."""
        self._say("progress", step, attempt, **fields)

    def _say(self, event_name: str, step: Step, attempt: int, **more: Any) -> None:
        self._emit({"event": event_name, "revision": step.revision, "attempt": attempt, **more})


def _why_held(holders: Sequence[Mapping[str, Any]]) -> str:
    """Who is in the way: a runner holds the lock alone, backups share it."""
    if holders and holders[0]["mode"] == SHARED:
        backup = str(holders[0]["name"]).removeprefix(f"shippyard:{BACKUP_LOCK}:")
        return f"the backup {backup} of this database is being taken; wait until it is done"
    return "another runner migrates this database; wait until it is done"


def connection_options(spec: RunSpec) -> str:
    """Settings that outlive a rollback, as libpq's `options`."""
    settings = {
        "lock_timeout": f"{spec.lock_timeout_ms}ms",
        "statement_timeout": f"{int(spec.statement_timeout_s * 1000)}ms",
        # Filtering by a policy must be an error, never an UPDATE of no rows.
        "row_security": "off",
    }
    if spec.server_version >= CLIENT_CHECK_SINCE:
        # Without it a queued ALTER is applied after its owner is dead.
        settings["client_connection_check_interval"] = "1s"
    return " ".join(f"-c {name}={value}" for name, value in settings.items())


def main() -> int:
    """Read a spec from stdin, run it, say how it ended."""
    emit = claim_stdout()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        spec = RunSpec.from_json(sys.stdin.buffer.read(SPEC_MAX_BYTES))
        remember(str(spec.conninfo.get("password", "")))
        Runner(spec, emit).run()
    except Interrupted:
        emit({"event": "interrupted"})
    except LockHeld as error:
        emit({"event": "refused", "message": str(error)})
    except RevisionFailed as error:
        emit(
            {
                "event": "failed",
                "message": f"{error.revision}: {error}",
                "revision": error.revision,
                "sqlstate": error.sqlstate,
                "half_applied": error.half_applied,
            }
        )
    except (PlanRefused, psycopg.Error) as error:
        emit({"event": "failed", "message": said(error)})
    return 0


def _interrupt(number: int, _: FrameType | None) -> NoReturn:
    _told_to_stop.set()
    signal.signal(number, signal.SIG_IGN)  # once is enough: the rollback must not be interrupted
    raise Interrupted


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


if __name__ == "__main__":
    sys.exit(main())
