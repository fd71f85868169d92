"""Owns sessions that look at one moment of a database for a long time, and share that moment.

One session exports its snapshot and holds it; others, and pg_dump, take it over. They read only,
and nothing in the server's configuration that ends idle or long transactions ends them: their
bound is ours, kept by both sides. Knows nothing of what is looked at.
"""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from shippyard.postgres.session import QueryFailed, Row, Session, open_session
from shippyard.postgres.target import Target

TRANSACTION_TIMEOUT_SINCE = 170_000
KEEPALIVE_S = 60
MAX_MS = 2**31 - 1
STATEMENT_S = 30.0
CHECK_INTERVAL = "client_connection_check_interval"

_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class SnapshotSession:
    """One session in a read-only transaction that sees one moment. Used by one thread at a time."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def server_version(self) -> int:
        """As `server_version_num`."""
        return self._session.server_version

    def export(self) -> str:
        """The moment's name for other sessions, valid while this one lives.

        Raises:
            QueryFailed: the server refused, or was lost.
        """
        return str(self.query("SELECT pg_export_snapshot() AS name")[0]["name"])

    def is_watched(self) -> bool:
        """Whether the server looks now and then if the client of a long query is still there.

        Raises:
            QueryFailed: the server was lost.
        """
        question = "SELECT current_setting(%(name)s) <> '0' AS watched"
        return bool(self.query(question, {"name": CHECK_INTERVAL})[0]["watched"])

    def query(
        self,
        statement: str,
        params: Mapping[str, Any] | None = None,
        *,
        timeout_s: float = STATEMENT_S,
    ) -> list[Row]:
        """All rows of one statement; after a failure only what is below helps.

        Raises:
            QueryFailed: refused, timed out, or the server was lost.
        """
        return self._session.query(statement, params, timeout_s=timeout_s)

    def attempt(self, statement: str, *, timeout_s: float) -> list[Row]:
        """All rows of one statement, which may fail: the moment and its locks outlive that.

        Raises:
            QueryFailed: refused or timed out; or the server was lost, and then all is.
        """
        # The same limit for all: it is set before the savepoint, so that no rollback undoes it.
        self.query("SAVEPOINT attempt", timeout_s=timeout_s)
        try:
            rows = self.query(statement, timeout_s=timeout_s)
        except QueryFailed as failed:
            if failed.sqlstate is not None:
                self.query("ROLLBACK TO SAVEPOINT attempt", timeout_s=timeout_s)
            raise
        self.query("RELEASE SAVEPOINT attempt", timeout_s=timeout_s)
        return rows

    def sever(self) -> None:
        """Cut it from another thread: a query in flight fails at once."""
        self._session.sever()


@contextlib.contextmanager
def snapshot_session(
    target: Target,
    purpose: str,
    *,
    max_s: float,
    snapshot: str | None = None,
    lock_timeout_s: float = 5.0,
    settings: Mapping[str, str] | None = None,
) -> Iterator[SnapshotSession]:
    """A session at `snapshot`, or at a moment of its own, for the length of a block.

    It is cut after `max_s`. `settings` hold for the session; `row_security` is off, so that rows
    hidden by a policy are an error and never a smaller answer.

    Raises:
        Unreachable: no connection could be made.
        QueryFailed: the snapshot is not, or no longer, there.
    """
    session = open_session(target, purpose)
    timer = threading.Timer(max_s, session.sever)
    timer.daemon = True
    timer.start()
    try:
        _prepare(session, max_s, lock_timeout_s, settings or {})
        session.query(_BEGIN, timeout_s=STATEMENT_S)
        if snapshot is not None:
            session.query(f"SET TRANSACTION SNAPSHOT {_quoted(snapshot)}", timeout_s=STATEMENT_S)
        yield SnapshotSession(session)
    finally:
        timer.cancel()
        session.close()


def _prepare(
    session: Session, max_s: float, lock_timeout_s: float, more: Mapping[str, str]
) -> None:
    settings = {
        "idle_in_transaction_session_timeout": f"{_ms(max_s)}ms",
        "lock_timeout": f"{_ms(lock_timeout_s)}ms",
        "row_security": "off",
        # What stands between us may forget a connection on which nothing is said for hours.
        "tcp_keepalives_idle": str(KEEPALIVE_S),
        # A backup takes its time and leaves the machine's cores to those who can't wait.
        "max_parallel_workers_per_gather": "0",
        **more,
    }
    if session.server_version >= TRANSACTION_TIMEOUT_SINCE:
        settings["transaction_timeout"] = "0"
    # The limit of the first statement is set outside of any transaction that could end.
    for name, value in settings.items():
        _set(session, name, value)
    # A long query would outlive us by as long as it takes; not every platform can look.
    with contextlib.suppress(QueryFailed):
        _set(session, CHECK_INTERVAL, "1s")


def _set(session: Session, name: str, value: str) -> None:
    session.query(
        "SELECT set_config(%(name)s, %(value)s, false)",
        {"name": name, "value": value},
        timeout_s=STATEMENT_S,
    )


def _ms(seconds: float) -> int:
    return min(MAX_MS, max(1, int(seconds * 1000)))


def _quoted(snapshot: str) -> str:
    escaped = snapshot.replace("'", "''")
    return f"'{escaped}'"
