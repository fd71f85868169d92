"""Owns asking one check of one database: its form for this server, what it lacks, what it says.

Keeps what a check's shape remembers from answer to answer. Knows no cadence and no metrics.
"""

from collections.abc import Mapping, Sequence

from shippyard.health.evaluate import ROWS_MAX, Answer, evaluate
from shippyard.health.model import EXTENSION_SCHEMA, Check, Lack, Row
from shippyard.health.shape import Shape
from shippyard.health.shapes import SHAPES
from shippyard.postgres.session import QueryFailed, Session, quoted

EXTENSION_SQL = """
SELECT n.nspname AS schema FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
WHERE e.extname = %(name)s
"""
ASK_TIMEOUT_S = 2.0
PREPARED_WITHIN_S = 5.0
"""What is asked more seldom is planned anew each time, and keeps no plan in the server's memory."""

_NOT_PERMITTED = "42501"
# What an extension says whose library the server did not load, and one that is gone again.
_NOT_LOADED = frozenset({"55000", "3F000", "42883", "42P01"})

_GRANTS = {
    "public": "",
    "pg_monitor": "GRANT pg_monitor TO",
    "select": "GRANT pg_monitor, and USAGE and SELECT on the schemas that are looked at, TO",
}


class Lacking(Exception):
    """The check can't be asked here."""

    def __init__(self, lack: Lack) -> None:
        super().__init__(lack.says)
        self.lack = lack


def schema_of(session: Session, extension: str) -> str:
    """Where an extension was installed into the session's database.

    Raises:
        Lacking: it was not.
        QueryFailed: the server gave no answer.
    """
    found = session.query(EXTENSION_SQL, {"name": extension}, timeout_s=ASK_TIMEOUT_S)
    if not found:
        raise Lacking(Lack("extension", f"not installed here: CREATE EXTENSION {extension}"))
    return str(found[0]["schema"])


class Asker:
    """Asks checks of one database, as the login `user`."""

    def __init__(self, user: str) -> None:
        self._user = user
        self._shapes: dict[str, Shape] = {}
        self._schemas: dict[str, str] = {}

    def reconnected(self) -> None:
        """Believe nothing any more of which extensions there are."""
        self._schemas.clear()

    def shape(self, check: str) -> Shape | None:
        """What makes sense of a check's answers, with what it remembers; None before the first."""
        return self._shapes.get(check)

    def ask(
        self, session: Session, check: Check, labels: Mapping[str, str], now_s: float
    ) -> tuple[Answer, Sequence[Row]]:
        """The answer, and the rows it was made of.

        Raises:
            Lacking: an extension or a right is missing.
            QueryFailed: the server gave none.
            AnswerUnusable: what it gave is not what the check's TOML says.
        """
        rows = self._rows(session, check)
        shape = self._shapes.setdefault(check.name, SHAPES[check.shape]())
        return evaluate(check, rows, labels, shape, now_s), rows

    def _rows(self, session: Session, check: Check) -> Sequence[Row]:
        statement = self._statement(session, check)
        try:
            if check.is_shipped:
                often = check.every_s <= PREPARED_WITHIN_S
                return session.query(
                    statement, check.params, timeout_s=check.timeout_s, prepare=often
                )
            return session.query_bounded(
                statement, check.params, timeout_s=check.timeout_s, rows_max=ROWS_MAX + 1
            )
        except QueryFailed as error:
            raise self._lacking(check, error) or error from None

    def _statement(self, session: Session, check: Check) -> str:
        statement = check.sql_for(session.server_version)
        if check.extension is None:
            return statement
        schema = quoted(self._schema(session, check.extension))
        return statement.replace(EXTENSION_SCHEMA, schema)

    def _schema(self, session: Session, extension: str) -> str:
        known = self._schemas.get(extension)
        if known is None:
            known = self._schemas[extension] = schema_of(session, extension)
        return known

    def _lacking(self, check: Check, error: QueryFailed) -> Lacking | None:
        if error.sqlstate == _NOT_PERMITTED:
            grant = f"{_GRANTS[check.role]} {self._user}" if _GRANTS[check.role] else "see its SQL"
            return Lacking(Lack("privilege", f"{error}; it needs: {grant}"))
        if check.extension and error.sqlstate in _NOT_LOADED:
            # It may have been dropped, or moved to another schema.
            self._schemas.pop(check.extension, None)
            preload = f"put {check.extension} into shared_preload_libraries and restart"
            return Lacking(Lack("extension", f"{error}; if it is not loaded: {preload}"))
        return None
