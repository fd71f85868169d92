"""Owns the canary: one row in a cluster, written again every ten seconds with the time and LSN.

A restored copy that holds it says until when it holds everything. Reads it in such a copy, too.
"""

import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import structlog

from shippyard.host.clock import Clock
from shippyard.postgres.session import QueryFailed, Session, Unreachable, session
from shippyard.postgres.target import Target
from shippyard.postgres.writing import quoted_name, writing_session

EVERY_S = 10.0
TIMEOUT_S = 5.0
RETRY_MAX_S = 60.0
JOIN_S = 3.0
_ABSENT = frozenset({"42P01", "3F000"})
_NOT_PERMITTED = "42501"

_SETUP = [
    statement.strip() for statement in Path(__file__).with_name("canary.sql").read_text().split(";")
]
_BEAT = (
    "UPDATE shippyard.canary SET at = %(at)s, lsn = pg_current_wal_insert_lsn(), beat = beat + 1"
    " WHERE id = 1 RETURNING lsn::text"
)
_READ = "SELECT at, lsn::text AS lsn, beat FROM shippyard.canary WHERE at > '-infinity'"

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Seen:
    """The canary as it was found: when it was written, and where the WAL then was."""

    at: datetime
    lsn: str
    beat: int


class Canary:
    """Writes the row of one cluster from a thread of its own."""

    def __init__(
        self, subject: str, target: Target, clock: Clock, beat: Callable[[], None] = lambda: None
    ) -> None:
        """`target` is the cluster's first database; `beat` is told each time round."""
        self._subject = subject
        self._target = target
        self._clock = clock
        self._beat = beat
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._session: Session | None = None
        self._open = ExitStack()
        self.problem: str | None = None

    def start(self) -> None:
        """Begin to write."""
        if self._thread is None:
            name = f"canary {self._subject}"
            self._thread = threading.Thread(target=self._run, name=name, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Write no more; safe twice, before starting, and while the server hangs."""
        self._stop.set()
        if self._thread is None:
            self._close()
            return
        self._thread.join(0.2)
        if self._thread.is_alive() and (opened := self._session):
            opened.sever()
        self._thread.join(JOIN_S)

    def write(self) -> None:
        """Write the row once, now; it is made first where that is needed.

        Raises:
            Unreachable, QueryFailed: the server gave no answer, or does not allow it.
        """
        opened = self._opened()
        params = {"at": self._clock.now()}
        try:
            rows = opened.query(_BEAT, params, timeout_s=TIMEOUT_S)
        except QueryFailed as error:
            if error.sqlstate not in _ABSENT:
                raise
            rows = []
        if not rows:
            self._set_up(opened)
            opened.query(_BEAT, params, timeout_s=TIMEOUT_S)

    def _run(self) -> None:
        wait_s = 0.0
        with self._open:
            while not self._stop.wait(wait_s):
                self._beat()
                wait_s = self._turn(wait_s)

    def _turn(self, waited_s: float) -> float:
        """Write once; gives how long to wait before the next time."""
        try:
            self.write()
        except (Unreachable, QueryFailed) as error:
            self._close()
            self._say(self._remedied(error))
            return min(RETRY_MAX_S, max(EVERY_S, 2 * waited_s))
        self._say(None)
        return EVERY_S

    def _opened(self) -> Session:
        if self._session is None or self._session.closed:
            self._close()
            self._session = self._open.enter_context(writing_session(self._target, "canary"))
        return self._session

    def _close(self) -> None:
        self._session = None
        self._open.close()

    def _set_up(self, opened: Session) -> None:
        for statement in _SETUP:
            opened.query(statement, timeout_s=TIMEOUT_S)

    def _remedied(self, error: Exception) -> str:
        if isinstance(error, QueryFailed) and error.sqlstate == _NOT_PERMITTED:
            return f"{error}; run once in {self._target.dbname}: {setup_statements(self._target)}"
        return str(error)

    def _say(self, problem: str | None) -> None:
        """Once when it begins, once when it ends."""
        if problem == self.problem:
            return
        if problem:
            log.warning("canary.not_written", subject=self._subject, reason=problem)
        else:
            log.info("canary.written_again", subject=self._subject)
        self.problem = problem


def setup_statements(target: Target) -> str:
    """What an owner of the database runs, so that the canary's role need not create anything."""
    role = quoted_name(target.user)
    made = " ".join(" ".join(_without_comments(each).split()) + ";" for each in _SETUP)
    return (
        f"{made} GRANT USAGE ON SCHEMA shippyard TO {role}; "
        f"GRANT SELECT, UPDATE ON shippyard.canary TO {role};"
    )


def read_canary(target: Target) -> Seen | None:
    """The canary in a database, or None when there is none.

    Raises:
        Unreachable, QueryFailed: the server gave no answer.
    """
    with session(target, "canary") as opened:
        try:
            rows = opened.query(_READ, timeout_s=TIMEOUT_S)
        except QueryFailed as error:
            if error.sqlstate in _ABSENT:
                return None
            raise
    return Seen(**rows[0]) if rows else None


def _without_comments(statement: str) -> str:
    return "\n".join(line for line in statement.splitlines() if not line.startswith("--"))
