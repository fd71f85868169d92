"""Owns the watcher: a session whose server process looks at locks and tells each change.

The looking is done by the server itself, so that nothing else in this process delays it. Here the
notices are taken in, one at a time, as they come; a reader that falls behind stops the watcher,
which then counts the looks that came late.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from shippyard.migration.recording.observing import ASKED, Observation, parse
from shippyard.postgres.session import QueryFailed, Session, one_line
from shippyard.postgres.target import Target

START_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 10.0
CANCEL_TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 10
NAME = "shippyard:recording-watch"

SETTINGS = {
    "search_path": "pg_catalog,pg_temp",
    "lock_timeout": "5s",
    "client_min_messages": "notice",
    "client_connection_check_interval": "1s",
    "log_min_messages": "fatal",
    "jit": "off",
    # Of the extension that counts statements; a name with a dot is taken where it isn't loaded.
    "pg_stat_statements.track": "none",
}
_WATCH_SQL = Path(__file__).with_name("watch.sql").read_text(encoding="utf-8")
_KNOCK_SQL = """
WITH asked AS MATERIALIZED (SELECT extract(EPOCH FROM clock_timestamp())::float8 AS at_s)
SELECT at_s, pg_advisory_lock_shared(1397248594, %(why)s)::text AS taken,
    pg_advisory_unlock_shared(1397248594, %(why)s) AS given FROM asked
"""


class RecordingFailed(Exception):
    """What ran could not be recorded; one line. The rehearsal has to be done again."""


class Watcher:
    """One watching session and the thread that takes in what it tells."""

    def __init__(self, target: Target, prefix: str, take: Callable[[Observation], None]) -> None:
        self._prefix = prefix
        self._take = take
        self._news = threading.Condition()
        self._told_s = 0.0
        self._heard = False
        self._error: str | None = None
        self._stopping = False
        self._connection = _connected(target)
        self._connection.add_notice_handler(self._hear)
        self._thread = threading.Thread(target=self._watch, name="recording-watch", daemon=True)

    def start(self) -> None:
        """Begin to watch; from its return on every command knocks at a held door.

        Raises:
            RecordingFailed: it did not begin within its time.
        """
        self._thread.start()
        self._wait(lambda: self._heard, START_TIMEOUT_S, "the watcher did not begin")

    def catch_up(self, session: Session) -> float:
        """Wait until everything up to now was taken in; gives now, as the server has it.

        Raises:
            RecordingFailed: the watcher is gone, or too far behind.
        """
        try:
            rows = session.query(_KNOCK_SQL, {"why": ASKED}, timeout_s=ANSWER_TIMEOUT_S)
        except QueryFailed as error:
            raise RecordingFailed(f"the watcher did not answer: {error}") from None
        asked_s = float(rows[0]["at_s"])
        self._wait(lambda: self._told_s >= asked_s, ANSWER_TIMEOUT_S, "the watcher is behind")
        return asked_s

    def stop(self) -> None:
        """End it; safe to call twice, and when the server is gone."""
        self._stopping = True
        with contextlib.suppress(psycopg.Error):
            self._connection.cancel_safe(timeout=CANCEL_TIMEOUT_S)
        if self._thread.is_alive():
            self._thread.join(CANCEL_TIMEOUT_S)
        with contextlib.suppress(psycopg.Error):
            self._connection.close()

    def _watch(self) -> None:
        try:
            self._connection.execute(
                "SELECT set_config('shippyard_recording.prefix', %s, false)", [self._prefix]
            )
            literal: LiteralString = _WATCH_SQL
            self._connection.execute(sql.SQL(literal))
        except psycopg.Error as error:
            if not self._stopping:
                self._fail(one_line(error))

    def _hear(self, notice: psycopg.errors.Diagnostic) -> None:
        try:
            look = parse(notice.message_primary or "")
            self._take(look)
        except ValueError as error:
            self._fail(str(error))
            return
        with self._news:
            self._heard, self._told_s = True, max(self._told_s, look.told_s)
            self._news.notify_all()

    def _fail(self, reason: str) -> None:
        with self._news:
            self._error = self._error or reason
            self._news.notify_all()

    def _wait(self, condition: Callable[[], bool], timeout_s: float, otherwise: str) -> None:
        with self._news:
            self._news.wait_for(lambda: condition() or self._error is not None, timeout_s)
            if self._error is not None:
                raise RecordingFailed(f"the watcher ended: {self._error}")
            if not condition():
                raise RecordingFailed(f"{otherwise} within {timeout_s:g} s")


@contextlib.contextmanager
def watching(target: Target, prefix: str, take: Callable[[Observation], None]) -> Iterator[Watcher]:
    """A watcher for the length of a block.

    Raises:
        RecordingFailed: it could not begin.
    """
    watcher = Watcher(target, prefix, take)
    try:
        watcher.start()
        yield watcher
    finally:
        watcher.stop()


def _connected(target: Target) -> psycopg.Connection[Any]:
    options = " ".join(f"-c {name}={value}" for name, value in SETTINGS.items())
    try:
        return psycopg.connect(
            **target.conninfo(),
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name=NAME,
            options=options,
        )
    except psycopg.Error as error:
        raise RecordingFailed(f"{target}: {one_line(error)}") from None
