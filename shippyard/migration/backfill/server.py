"""Owns talking to the server on a connection that somebody else made, each statement on its own.

Statements carry their values as literals: a plan made for unknown bounds of a key may scan it all.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, LiteralString

from psycopg import sql
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

# lock_not_available, deadlock_detected, serialization_failure
LOCK_NOT_FREE = frozenset({"55P03", "40P01", "40001"})

Row = Mapping[str, Any]


class Server:
    """One database, through a connection in autocommit. Used by one thread."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def ask(self, statement: sql.Composable) -> list[Row]:
        """All rows of one statement; none when it has none."""
        result = self._connection.exec_driver_sql(
            # without parameters a percent sign is a percent sign
            statement.as_string(None),
            execution_options={"no_parameters": True},
        )
        return [dict(row) for row in result.mappings()] if result.returns_rows else []

    @contextmanager
    def settings(self, **wanted: str) -> Iterator[None]:
        """Other settings for the length of a block."""
        before = {name: self._setting(name) for name in wanted}
        self._set(wanted)
        try:
            yield
        finally:
            if not self._connection.invalidated:
                with suppress(DBAPIError):
                    self._set(before)

    def _setting(self, name: str) -> str:
        question = sql.SQL("SELECT pg_catalog.current_setting({}) AS value")
        return str(self.ask(question.format(sql.Literal(name)))[0]["value"])

    def _set(self, values: Mapping[str, str]) -> None:
        one = sql.SQL("SELECT pg_catalog.set_config({}, {}, false)")
        for name, value in values.items():
            self.ask(one.format(sql.Literal(name), sql.Literal(value)))


def written(text: str) -> sql.SQL:
    """SQL of an author, or of ours, as it stands."""
    literal: LiteralString = text
    return sql.SQL(literal)


def sqlstate_of(error: DBAPIError) -> str | None:
    """The server's code for what went wrong."""
    return getattr(error.orig, "sqlstate", None)
