"""Owns the sessions of a run: how they are opened, and what is looked at around each statement.

It happens in the driver's own connection and cursor, so that statements sent past SQLAlchemy are
seen, too. Knows no revisions.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, Self

import psycopg
from psycopg import sql
from psycopg.abc import Params

CONNECT_TIMEOUT_S = 10
KEEPALIVE: Mapping[str, Any] = {
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
}


class Witness(Protocol):
    """Who looks at what a session does."""

    def before(self, session: "WitnessedConnection", statement: str) -> None:
        """It is about to be sent."""
        ...

    def after(self, session: "WitnessedConnection", statement: str) -> None:
        """It went through."""
        ...

    def committed(self) -> None:
        """A transaction was."""
        ...

    def rolled_back(self) -> None:
        """A transaction was."""
        ...


class WitnessedConnection(psycopg.Connection[Any]):
    """A session whose every statement a witness sees."""

    witness: Witness | None = None

    def commit(self) -> None:
        """As the driver does, then told."""
        super().commit()
        if self.witness:
            self.witness.committed()

    def rollback(self) -> None:
        """As the driver does, then told."""
        super().rollback()
        if self.witness:
            self.witness.rolled_back()


class WitnessedCursor(psycopg.Cursor[Any]):
    """A cursor of such a session."""

    def execute(
        self,
        query: Any,
        params: Params | None = None,
        *,
        prepare: bool | None = None,
        binary: bool | None = None,
    ) -> Self:
        """As the driver does, seen before and after."""
        with self._seen(query):
            return super().execute(query, params, prepare=prepare, binary=binary)

    def executemany(
        self, query: Any, params_seq: Iterable[Params], *, returning: bool = False
    ) -> None:
        """As the driver does, seen before and after."""
        with self._seen(query):
            super().executemany(query, params_seq, returning=returning)

    def stream(
        self,
        query: Any,
        params: Params | None = None,
        *,
        binary: bool | None = None,
        size: int = 1,
    ) -> Iterator[Any]:
        """As the driver does, seen before and after."""
        with self._seen(query):
            yield from super().stream(query, params, binary=binary, size=size)

    @contextmanager
    def copy(
        self, statement: Any, params: Params | None = None, *, writer: Any = None
    ) -> Iterator[psycopg.Copy]:
        """As the driver does, seen before and after."""
        with self._seen(statement), super().copy(statement, params, writer=writer) as copy:
            yield copy

    @contextmanager
    def _seen(self, query: object) -> Iterator[None]:
        session = self.connection
        witness = session.witness if isinstance(session, WitnessedConnection) else None
        text = _text_of(query, session)
        if witness and isinstance(session, WitnessedConnection):
            witness.before(session, text)
            yield
            witness.after(session, text)
        else:
            yield


def connect_witnessed(
    conninfo: Mapping[str, Any], name: str, options: str, witness: Witness
) -> WitnessedConnection:
    """A session for revisions; every statement is seen from the first one on.

    Raises:
        psycopg.OperationalError: there is none to be had.
    """
    opened = WitnessedConnection.connect(
        **conninfo,
        connect_timeout=CONNECT_TIMEOUT_S,
        application_name=name,
        options=options,
        cursor_factory=WitnessedCursor,
        **KEEPALIVE,
    )
    opened.witness = witness
    return opened


def connect_apart(
    conninfo: Mapping[str, Any], name: str, options: str
) -> psycopg.Connection[dict[str, Any]]:
    """A session outside any transaction: a snapshot held here would stop a concurrent build.

    Raises:
        psycopg.OperationalError: there is none to be had.
    """
    return psycopg.Connection[dict[str, Any]].connect(
        **conninfo,
        autocommit=True,
        connect_timeout=CONNECT_TIMEOUT_S,
        application_name=name,
        options=options,
        row_factory=psycopg.rows.dict_row,
        **KEEPALIVE,
    )


def unseen_cursor(session: psycopg.Connection[Any]) -> psycopg.Cursor[tuple[Any, ...]]:
    """For what a witness itself asks."""
    return psycopg.Cursor(session, row_factory=psycopg.rows.tuple_row)


def _text_of(query: object, session: psycopg.Connection[Any]) -> str:
    if isinstance(query, sql.Composable):
        return query.as_string(session)
    return query.decode(errors="replace") if isinstance(query, bytes) else str(query)
