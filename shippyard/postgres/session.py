"""Owns psycopg connections of the daemon: read-only, bounded in time on both sides, polite.

The server ends a statement at `statement_timeout`. Should the server itself not answer (stopped,
network gone), the socket is shut a second later, so that no thread ever waits for ever.
"""

import contextlib
import select
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from shippyard.host.secrets import mask
from shippyard.postgres.severing import Severing
from shippyard.postgres.target import Target

Row = dict[str, Any]

SEVER_AFTER_S = 1.0
LOCK_TIMEOUT_MS = 250

_severing = Severing()


class Unreachable(Exception):
    """No connection to the server; the message is one line without secrets."""


class QueryFailed(Exception):
    """The server refused or gave up on a statement. `sqlstate` is None when the server was lost."""

    def __init__(self, message: str, sqlstate: str | None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class Session:
    """One autocommit connection that can do no harm. Used by one thread at a time."""

    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        self._connection = connection
        self._limited_to_ms: int | None = None

    @property
    def server_version(self) -> int:
        """As `server_version_num`: 150018, for example."""
        return self._connection.info.server_version

    @property
    def closed(self) -> bool:
        """True once the connection is gone."""
        return self._connection.closed

    def query(
        self,
        statement: str,
        params: Mapping[str, Any] | None = None,
        *,
        timeout_s: float = 5.0,
        binary: bool = False,
        prepare: bool = False,
    ) -> list[Row]:
        """All rows of one statement. With `binary` the server refuses more than one in the text.

        `prepare` is for what is asked time and again: the server keeps its plan with the session.

        Raises:
            QueryFailed: refused, timed out, or the server was lost; then the session is closed.
        """
        limit_s = timeout_s + SEVER_AFTER_S
        severed = threading.Event()
        try:
            with self._severed_after(limit_s, severed):
                self._limit(int(timeout_s * 1000))
                # Statements come from files that ship with the code or that the operator owns.
                cursor = self._connection.execute(
                    _trusted(statement), params, binary=binary, prepare=prepare
                )
                # Cheaper to ask than `description`, which describes every column.
                return [] if cursor.rownumber is None else cursor.fetchall()
        except psycopg.Error as error:
            if error.sqlstate is None:
                self.close()
            # What libpq then says blames the server for our own cut.
            said = f"no answer within {limit_s:g} s" if severed.is_set() else one_line(error)
            raise QueryFailed(said, error.sqlstate) from None

    def query_bounded(
        self, statement: str, params: Mapping[str, Any], *, timeout_s: float, rows_max: int
    ) -> list[Row]:
        """At most so many rows of one question that is not ours: it can write nothing.

        In a transaction of its own that is read-only whatever the question sets, and by a cursor,
        so that more rows than these never come here.

        Raises:
            QueryFailed: as `query`; or it is no question, but something that changes data.
        """
        # One limit for all: a setting that changes inside is undone by the end, or can't be made.
        self.query("BEGIN READ ONLY", timeout_s=timeout_s)
        try:
            opened = f"DECLARE shippyard_check NO SCROLL CURSOR FOR {statement}"
            # A second statement could end the transaction, and write in one of its own.
            self.query(opened, params, timeout_s=timeout_s, binary=True)
            fetched = f"FETCH {rows_max} FROM shippyard_check"
            return self.query(fetched, timeout_s=timeout_s)
        finally:
            if not self.closed:
                self.query("ROLLBACK", timeout_s=timeout_s)

    def is_lost(self) -> bool:
        """Whether the server ended this session while nothing was asked of it. Takes no time.

        An idle session has nothing to read, but for the word that it ended, or the end itself.
        """
        if self.closed:
            return True
        try:
            readable, _, _ = select.select([self._connection.fileno()], [], [], 0)
            if readable:
                self.query("SELECT 1")
        except (QueryFailed, OSError, ValueError, psycopg.Error):
            self.close()
        return self.closed

    def sever(self) -> None:
        """Cut the connection from another thread: a query in flight fails at once."""
        _shut(self._connection)

    def close(self) -> None:
        """Let go of the connection; safe to call twice."""
        with contextlib.suppress(psycopg.Error):
            self._connection.close()

    def _limit(self, timeout_ms: int) -> None:
        if self._limited_to_ms != timeout_ms:
            self._connection.execute(
                "SELECT set_config('statement_timeout', %s, false)", [f"{timeout_ms}ms"]
            )
            self._limited_to_ms = timeout_ms

    @contextlib.contextmanager
    def _severed_after(self, limit_s: float, severed: threading.Event) -> Iterator[None]:
        def cut() -> None:
            severed.set()
            self.sever()

        with _severing.after(limit_s, cut):
            yield


@contextlib.contextmanager
def session(target: Target, purpose: str, *, connect_timeout_s: float = 5.0) -> Iterator[Session]:
    """A session for the length of a block.

    Raises:
        Unreachable: no connection could be made.
    """
    opened = open_session(target, purpose, connect_timeout_s=connect_timeout_s)
    try:
        yield opened
    finally:
        opened.close()


def open_session(
    target: Target,
    purpose: str,
    *,
    connect_timeout_s: float = 5.0,
    settings: Mapping[str, str] | None = None,
) -> Session:
    """A session that the caller closes. `purpose` shows in pg_stat_activity.

    `settings` are added to those that every session of ours has; their values hold no space. A
    peer that is silently gone is noticed by keepalives within half a minute.

    Raises:
        Unreachable: no connection could be made.
    """
    try:
        connection: psycopg.Connection[Row] = psycopg.connect(
            **target.conninfo(),
            autocommit=True,
            row_factory=dict_row,
            # libpq takes whole seconds and at least two.
            connect_timeout=max(2, round(connect_timeout_s)),
            application_name=f"shippyard:{purpose}",
            options=_prologue(settings or {}),
            keepalives=1,
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
        )
    except psycopg.Error as error:
        raise Unreachable(f"{target}: {one_line(error)}") from None
    # Nothing is prepared unless it is asked for.
    connection.prepare_threshold = sys.maxsize
    return Session(connection)


def _prologue(more: Mapping[str, str]) -> str:
    settings = {
        "default_transaction_read_only": "on",
        "lock_timeout": f"{LOCK_TIMEOUT_MS}ms",
        "idle_in_transaction_session_timeout": "10s",
        "search_path": "pg_catalog,pg_temp",
        "jit": "off",
        **more,
    }
    return " ".join(f"-c {name}={value}" for name, value in settings.items())


def quoted(name: str) -> str:
    """A name as it stands in SQL."""
    return sql.Identifier(name).as_string()


def one_line(error: BaseException) -> str:
    """An error as one line, known secrets replaced."""
    return mask(" ".join(str(error).split()) or type(error).__name__)


def _trusted(statement: str) -> sql.SQL:
    literal: LiteralString = statement
    return sql.SQL(literal)


def _shut(connection: psycopg.Connection[Row]) -> None:
    with (
        contextlib.suppress(psycopg.Error, OSError),
        socket.socket(fileno=connection.fileno()) as borrowed,
    ):
        try:
            borrowed.shutdown(socket.SHUT_RDWR)
        finally:
            borrowed.detach()  # libpq owns the descriptor
