"""Owns what a way back would lose: questions to the live database, and asking them in time.

They are asked twice. First read-only, to say beforehand whether a run may be taken back. Then again
in the very transaction that goes back, after the tables are locked against writers: what is written
between the two is found, and nothing goes back. Refuses to know who may ask for it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

from psycopg import sql
from sqlalchemy import Connection, Engine, event

from shippyard.migration.said import Said, Setting, is_meant
from shippyard.migration.spec import Guard
from shippyard.migration.wrote import Wrote
from shippyard.postgres.session import QueryFailed, Session

ASK_TIMEOUT_S = 30.0
TAKEN_BACK = "shippyard.taken_back"
"""The transactions of the way back itself, for a session: what they wrote is not new."""
AT_HOME = {"row_security": "off", "search_path": "public"}

TABLES_SQL = """
SELECT n.nspname AS schema, c.relname AS name, a.attname AS column,
    CASE WHEN pg_get_expr(d.adbin, d.adrelid) !~ '[(]' THEN pg_get_expr(d.adbin, d.adrelid) END
        AS plain_default,
    coalesce(a.attgenerated <> '', false) AS generated
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_attribute AS a
    ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_'
    AND n.nspname NOT IN ('information_schema', 'shippyard')
"""


class WouldLose(Exception):
    """Going back would lose what was written; nothing went back."""


class CannotTell(Exception):
    """Whether something would be lost can't be found out; one line."""


@dataclass(frozen=True)
class Column:
    """One column as it is; `default` is a plain constant or None."""

    default: str | None
    generated: bool


Tables = Mapping[tuple[str, str], Mapping[str, Column]]


def read_tables(session: Session) -> Tables:
    """Every table's columns.

    Raises:
        QueryFailed: the server did not say.
    """
    found: dict[tuple[str, str], dict[str, Column]] = {}
    for row in session.query(TABLES_SQL):
        columns = found.setdefault((row["schema"], row["name"]), {})
        if row["column"] is not None:
            columns[row["column"]] = Column(row["plain_default"], row["generated"])
    return found


def guards_of(
    back: Iterable[Said], forth: Sequence[Said], tables: Tables, wrote: Wrote | None
) -> tuple[Guard, ...]:
    """What must not be there when statements go back. `forth` is what the run itself said.

    Raises:
        CannotTell: a statement of the way back can't be understood as the database is now.
    """
    return tuple(guard for said in back for guard in _Asking(forth, tables, wrote).of(said))


def lost(session: Session, guards: Iterable[Guard]) -> tuple[str, ...]:
    """What would be lost now, one line each.

    Raises:
        CannotTell: a question got no answer.
    """
    found = []
    for guard in guards:
        try:
            rows = session.query(guard.question, timeout_s=ASK_TIMEOUT_S)
        except QueryFailed as error:
            raise CannotTell(f"{guard.table} could not be looked through: {error}") from None
        found += [guard.loses] if rows else []
    return tuple(found)


def refuse_losses(engine: Engine, guards: Sequence[Guard], ours: Sequence[str] = ()) -> None:
    """Have each transaction of an engine begin with its questions, the tables locked for writers.

    Whoever wrote before has committed and is seen; whoever comes later waits for our end. `ours`
    are the transactions of this way back so far; it may grow.
    """

    def on_begin(connection: Connection) -> None:
        driver: Any = connection.connection.dbapi_connection
        with driver.cursor() as cursor:
            cursor.execute("SELECT set_config(%s, %s, false)", (TAKEN_BACK, ",".join(ours)))
            if not driver.autocommit:
                for table in sorted({guard.table for guard in guards}):
                    cursor.execute(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")
            for guard in guards:
                cursor.execute(guard.question)
                if cursor.fetchone():
                    raise WouldLose(f"{guard.loses}; nothing was taken back")

    if guards:
        event.listen(engine, "begin", on_begin)


class _Asking:
    """Makes questions out of statements."""

    def __init__(self, forth: Sequence[Said], tables: Tables, wrote: Wrote | None) -> None:
        self._forth = forth
        self._tables = tables
        self._since = _written_since(wrote)

    def of(self, said: Said) -> Iterator[Guard]:
        if said.runs_code:
            text = " ".join(said.text.split())[:80]
            raise CannotTell(f"its way back runs code that can't be read beforehand: {text}")
        for written in said.drops_tables:
            yield self._any_row(written, "{table} has rows that were added since")
        for written in said.deletes:
            yield self._any_row(written, "{table} has rows written since, which would be deleted")
        for written in said.drops_columns:
            table, _, column = written.rpartition(".")
            yield from self._dropped(table, column)
        for each in said.retypes:
            yield from self._changed(said.table, each, f"{{column}}::{each.value}")
        for each in said.sets:
            yield from self._changed(said.table, each, f"({each.value})")

    def _any_row(self, written: str, loses: str) -> Guard:
        name = self._table(written)
        return _guard(name, sql.SQL("{since}").format(since=self._since), loses)

    def _dropped(self, table: str, column: str) -> Iterator[Guard]:
        name = self._table(table)
        found = self._column(name, column)
        if found.generated:
            return
        known = [found.default] if found.default else []
        known += [
            each.value
            for said in self._forth
            if is_meant(said.table, ".".join(name))
            for each in said.sets
            if each.column == column and each.value
        ]
        it = sql.Identifier(column)
        others = [
            sql.SQL(" AND {}::text IS DISTINCT FROM ({})::text").format(it, _trusted(value))
            for value in known
        ]
        where = sql.SQL("{} IS NOT NULL{} AND {}").format(it, sql.SQL("").join(others), self._since)
        yield _guard(name, where, f"{{table}}.{column} has values that were written since")

    def _changed(self, table: str, setting: Setting, becomes: str) -> Iterator[Guard]:
        name = self._table(table)
        loses = "{table} has rows written since, which would be overwritten"
        if setting.value is None or setting.column == "*":
            yield _guard(name, self._since, loses)
            return
        self._column(name, setting.column)
        it = sql.Identifier(setting.column)
        value = _trusted(becomes.replace("{column}", it.as_string(None)))
        where = sql.SQL("{} IS NOT NULL AND {}::text IS DISTINCT FROM ({})::text AND {}")
        loses = f"{{table}}.{setting.column} has values written since that would be changed"
        yield _guard(name, where.format(it, it, value, self._since), loses)

    def _table(self, written: str) -> tuple[str, str]:
        found = [name for name in self._tables if is_meant(written, ".".join(name))]
        if len(found) != 1:
            count = "no table" if not found else "several tables"
            raise CannotTell(f"its way back changes {written}, and there is {count} of that name")
        return found[0]

    def _column(self, name: tuple[str, str], column: str) -> Column:
        if column not in self._tables[name]:
            raise CannotTell(f"its way back changes {'.'.join(name)}.{column}, which is not there")
        return self._tables[name][column]


def _written_since(wrote: Wrote | None) -> sql.Composable:
    """Row versions of other transactions than the run's, after its first; all when not known."""
    if wrote is None or not wrote.xids:
        return sql.SQL("true")
    return sql.SQL(
        "age(xmin) < age({}::xid) AND xmin::text <> ALL ({}::text[])"
        " AND xmin::text <> ALL (string_to_array(coalesce(current_setting({}, true), ''), ','))"
    ).format(sql.Literal(wrote.xids[0]), sql.Literal(list(wrote.xids)), sql.Literal(TAKEN_BACK))


def _guard(name: tuple[str, str], where: sql.Composable, loses: str) -> Guard:
    table = sql.Identifier(*name)
    question = sql.SQL("SELECT 1 FROM {} WHERE {} LIMIT 1").format(table, where)
    return Guard(
        table.as_string(None), question.as_string(None), loses.format(table=".".join(name))
    )


def _trusted(text: str) -> sql.SQL:
    """SQL of the plan's author, which ran here before."""
    literal: LiteralString = text
    return sql.SQL(literal)
