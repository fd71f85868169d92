"""Owns talking to a server in the replication protocol: who it is, its slot, what it can stream.

Only what the streaming tools can't be asked. Every answer has a deadline, as in `session`.
"""

import contextlib
import select
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from psycopg import pq, sql

from shippyard.postgres.session import QueryFailed, Unreachable, one_line
from shippyard.postgres.target import Target

ANSWER_TIMEOUT_S = 5.0
PROBE_S = 3.0
_UNITS = {"B": 1, "kB": 1024, "MB": 1024**2, "GB": 1024**3}
_SEGMENT_REMOVED = "58P01"


@dataclass(frozen=True)
class Identity:
    """Whose server this is, and how far its WAL is on disk."""

    system_identifier: str
    timeline: int
    flushed: str


@dataclass(frozen=True)
class Slot:
    """A physical slot. `restart_lsn` is None when it reserves nothing: never used, or lost."""

    restart_lsn: str | None
    timeline: int | None


class ReplicationSession:
    """One connection for replication commands. Used by one thread."""

    def __init__(self, connection: "psycopg.Connection[Any]") -> None:
        self._connection = connection

    @property
    def server_major(self) -> int:
        """15, for example."""
        return self._connection.info.server_version // 10_000

    def identify(self) -> Identity:
        """Who the server is.

        Raises:
            QueryFailed: it does not say.
        """
        row = self._one("IDENTIFY_SYSTEM")
        return Identity(str(row[0]), int(row[1]), str(row[2]))

    def show(self, setting: str) -> str:
        """One of its settings, as it would be for our own commits.

        Raises:
            QueryFailed: it does not say.
        """
        return str(self._one("SHOW {}", setting)[0])

    def segment_bytes(self) -> int:
        """How large its WAL segments are.

        Raises:
            QueryFailed: it does not say.
        """
        shown = self.show("wal_segment_size")
        number = shown.rstrip("BkMG")
        return int(number) * _UNITS[shown[len(number) :]]

    def slot(self, name: str) -> Slot | None:
        """A slot by its name; None when there is none.

        Raises:
            QueryFailed: the server is too old to say, or the slot is a logical one.
        """
        row = self._one("READ_REPLICATION_SLOT {}", name)
        if row[0] is None:
            return None
        return Slot(row[1], int(row[2]) if row[2] is not None else None)

    def create_slot(self, name: str) -> None:
        """Make a physical slot that reserves WAL from now on.

        Raises:
            QueryFailed: the server refused.
        """
        self._one("CREATE_REPLICATION_SLOT {} PHYSICAL RESERVE_WAL", name)

    def drop_slot(self, name: str) -> None:
        """Remove a slot that nobody uses.

        Raises:
            QueryFailed: it is in use, or there is none.
        """
        self._one("DROP_REPLICATION_SLOT {}", name)

    def history(self, timeline: int) -> str:
        """The content of a timeline's history file; empty for the first timeline.

        Raises:
            QueryFailed: the server does not have it.
        """
        if timeline == 1:
            return ""
        return str(self._one(f"TIMELINE_HISTORY {timeline}")[1])

    def can_stream(self, lsn: str, timeline: int) -> bool:
        """Whether the server still has its WAL from `lsn` on. The session is of no use afterwards.

        Raises:
            QueryFailed: it refuses for another reason.
        """
        try:
            return _streams(self._connection.pgconn, f"{lsn} TIMELINE {timeline}")
        except psycopg.Error as error:
            raise QueryFailed(one_line(error), error.sqlstate) from None

    def _one(self, command: LiteralString, *names: str) -> tuple[Any, ...]:
        composed = sql.SQL(command).format(*(sql.Identifier(name) for name in names))
        try:
            cursor = self._connection.execute(composed)
            row = cursor.fetchone() if cursor.description else ()
        except psycopg.Error as error:
            raise QueryFailed(one_line(error), error.sqlstate) from None
        # Outside a database there is no encoding, and text comes as bytes.
        return tuple(v.decode() if isinstance(v, bytes) else v for v in row or ())


@contextlib.contextmanager
def replication_session(
    target: Target, purpose: str, *, connect_timeout_s: float = ANSWER_TIMEOUT_S
) -> Iterator[ReplicationSession]:
    """A session for the length of a block.

    Raises:
        Unreachable: no connection could be made; pg_hba.conf may lack a line for replication.
    """
    try:
        connection: psycopg.Connection[Any] = psycopg.connect(
            **target.conninfo(),
            replication="true",
            autocommit=True,
            connect_timeout=max(2, round(connect_timeout_s)),
            # An answer that never comes ends with the connection.
            tcp_user_timeout=round(ANSWER_TIMEOUT_S * 1000),
            application_name=f"shippyard:{purpose}",
        )
    except psycopg.Error as error:
        raise Unreachable(f"{target}: {one_line(error)}") from None
    connection.prepare_threshold = None
    try:
        yield ReplicationSession(connection)
    finally:
        with contextlib.suppress(psycopg.Error):
            connection.close()


def _streams(connection: "pq.abc.PGconn", place: str) -> bool:
    result = connection.exec_(f"START_REPLICATION PHYSICAL {place}".encode())
    if result.status != pq.ExecStatus.COPY_BOTH:
        return _is_there(result)  # an error, or a timeline that ends right there
    # That a file is gone is only found when it is read: the error comes in place of WAL.
    connection.nonblocking = 1
    deadline = time.monotonic() + PROBE_S
    while (left_s := deadline - time.monotonic()) > 0:
        size, data = connection.get_copy_data(1)
        if size < 0:
            return _is_there(connection.get_result())
        if size > 0 and bytes(data[:1]) == b"w":
            return True
        if size == 0:
            select.select([connection.socket], [], [], left_s)
            connection.consume_input()
    return True


def _is_there(result: "pq.abc.PGresult | None") -> bool:
    if result is None:
        return True
    state = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
    if state == _SEGMENT_REMOVED:
        return False
    if result.status in (pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.NONFATAL_ERROR):
        said = (result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"").decode()
        raise QueryFailed(said or "the server refused to stream", state or None)
    return True
