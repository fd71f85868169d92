"""Owns getting volume into a database: COPY, table by table, and statistics at the end.

Only the columns that a table has now are written, so that any revision of the tree can be filled. A
table is a transaction: it is filled or it is empty. Refuses to add to what is there.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from typing import Any

import psycopg
from psycopg import sql
from psycopg.copy import QueuedLibpqWriter

from shippyard.postgres.session import one_line
from shippyard.postgres.target import Target
from shippyard.setup.volume.catalogue import NAMES, Table, with_needs
from shippyard.setup.volume.shape import Shape
from shippyard.setup.volume.world import City, Rows, World

Connection = psycopg.Connection[tuple[Any, ...]]

CONNECT_TIMEOUT_S = 10
LOCK_TIMEOUT_S = 10
FILL_TIMEOUT_S = 6 * 3600
ROWS_AT_ONCE = 2_000

# Filtered rows would be an error; and nothing is lost that can't be made again.
OPTIONS = (
    f"-c statement_timeout={FILL_TIMEOUT_S}s -c lock_timeout={LOCK_TIMEOUT_S}s"
    " -c row_security=off -c synchronous_commit=off"
)

COLUMNS = """
SELECT c.relname, array_agg(a.attname::text)
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attgenerated = ''
GROUP BY c.relname
"""

FOREIGN_KEYS = """
SELECT conname, pg_catalog.pg_get_constraintdef(oid)
FROM pg_catalog.pg_constraint
WHERE conrelid = %s::regclass AND contype = 'f' AND conparentid = 0
"""

# Those of a key, and those that another table's key stands on, stay.
INDEXES = """
SELECT c.relname, pg_catalog.pg_get_indexdef(c.oid)
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
WHERE i.indrelid = %s::regclass AND i.indisvalid
AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint AS n WHERE n.conindid = c.oid)
"""


class FillFailed(Exception):
    """Volume could not be made; the message is one line that says what to do."""


class FillRefused(FillFailed):
    """Nothing was written: there are rows already, or something that is needed is not there."""


@dataclass(frozen=True)
class Progress:
    """How far it is: `rows` of about `expected` in all; `table` is the one that just went on."""

    table: str
    rows: int
    expected: int
    elapsed_s: float

    @property
    def left_s(self) -> float | None:
        """Seconds still to go at the speed so far; None before the first rows."""
        if not self.rows or self.rows >= self.expected:
            return None
        return self.elapsed_s / self.rows * (self.expected - self.rows)


@dataclass(frozen=True)
class Filled:
    """What one table got."""

    table: str
    rows: int
    elapsed_s: float


def fill(
    target: Target,
    shape: Shape,
    tables: Sequence[str] = (),
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> list[Filled]:
    """Fill empty tables, all that there are or these and what they point at, and analyse them.

    Needs the reference data of cities. Tables that an older revision lacks are left out.

    Raises:
        FillRefused: a table has rows, cities has none, or a table that is asked for is not there.
        FillFailed: the server refused or was lost; tables that were done stay.
        UnknownTable: there is no volume for a table of this name.
    """
    chosen = with_needs(tables or NAMES)
    with _connected(target) as connection:
        try:
            columns = {name: set(there) for name, there in connection.execute(COLUMNS)}
            present = _present(chosen, columns, tables)
            _refuse_rows(connection, present)
            world = World(shape, _cities(connection))
        except psycopg.Error as error:
            raise FillFailed(f"{target}: {one_line(error)}") from None
        tally = _Tally(sum(table.expected(shape) for table in present), on_progress)
        return [_fill(connection, table, columns[table.name], world, tally) for table in present]


class _Tally:
    """Counts rows and says so."""

    def __init__(self, expected: int, on_progress: Callable[[Progress], None]) -> None:
        self._expected = expected
        self._on_progress = on_progress
        self._rows = 0
        self._begun = time.monotonic()

    def add(self, table: str, rows: int) -> None:
        self._rows += rows
        elapsed_s = time.monotonic() - self._begun
        self._on_progress(Progress(table, self._rows, self._expected, elapsed_s))


def _fill(
    connection: Connection, table: Table, there: set[str], world: World, tally: _Tally
) -> Filled:
    begun = time.monotonic()
    names = [name for name in table.columns if name in there]
    try:
        with connection.transaction(), _unencumbered(connection, table.name):
            rows = _copy(connection, table, names, world, tally)
        connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(table.name)))
    except psycopg.Error as error:
        raise FillFailed(f"{table.name}: {one_line(error)}") from None
    return Filled(table.name, rows, time.monotonic() - begun)


@contextmanager
def _unencumbered(connection: Connection, table: str) -> Iterator[None]:
    """Without the table's foreign keys and plain indexes for the length of a block.

    Checked and built all at once they take a fraction of the time that they take row by row; then
    they are as they were. Nobody sees the table without them: it is one transaction.
    """
    keys = connection.execute(FOREIGN_KEYS, [table]).fetchall()
    indexes = connection.execute(INDEXES, [table]).fetchall()
    alter = sql.SQL("ALTER TABLE {} ").format(sql.Identifier(table))
    for name, _ in keys:
        connection.execute(alter + sql.SQL("DROP CONSTRAINT {}").format(sql.Identifier(name)))
    for name, _ in indexes:
        connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
    yield
    for _, definition in indexes:
        connection.execute(definition.encode())
    for name, definition in keys:
        put_back = sql.SQL("ADD CONSTRAINT {} ").format(sql.Identifier(name))
        connection.execute(alter + put_back + sql.SQL(definition))


def _copy(
    connection: Connection, table: Table, names: Sequence[str], world: World, tally: _Tally
) -> int:
    rows = 0
    with connection.cursor() as cursor:
        # a thread writes, so that the next rows are made while the server takes these
        with cursor.copy(_statement(table, names), writer=QueuedLibpqWriter(cursor)) as copy:
            for text, count in lines(table, names, world):
                copy.write(text)
                rows += count
                tally.add(table.name, count)
    return rows


def lines(table: Table, names: Sequence[str], world: World) -> Iterator[tuple[str, int]]:
    """A table's rows as COPY's text, some thousands at a time, with these columns only."""
    rows: Rows = table.rows(world)
    if len(names) < len(table.columns):
        rows = map(itemgetter(*map(table.columns.index, names)), rows)
    while batch := list(islice(rows, ROWS_AT_ONCE)):
        yield "\n".join(map("\t".join, batch)) + "\n", len(batch)


def cities_of(target: Target) -> tuple[City, ...]:
    """The cities that a database has, in the order of their ids.

    Raises:
        FillRefused: there are none.
        FillFailed: the database can't be reached.
    """
    with _connected(target) as connection:
        return _cities(connection)


def _connected(target: Target) -> Connection:
    try:
        return psycopg.connect(
            **target.conninfo(),
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name="shippyard:seed",
            options=OPTIONS,
        )
    except psycopg.Error as error:
        raise FillFailed(f"{target}: {one_line(error)}") from None


def _present(
    chosen: Sequence[Table], columns: dict[str, set[str]], asked: Iterable[str]
) -> list[Table]:
    missing = [table for table in asked if table not in columns]
    if missing or "users" not in columns:
        raise FillRefused(f"there is no table {', '.join(missing) or 'users'}; migrate first")
    return [table for table in chosen if table.name in columns]


def _refuse_rows(connection: Connection, tables: Sequence[Table]) -> None:
    for table in tables:
        name = sql.Identifier(table.name)
        if (
            connection.execute(sql.SQL("SELECT FROM {} LIMIT 1").format(name)).fetchone()
            is not None
        ):
            every = ", ".join(each.name for each in tables)
            raise FillRefused(
                f"{table.name} has rows, and volume is never added to them; "
                f"use a new database, or, to lose them: TRUNCATE {every} CASCADE"
            )


def _cities(connection: Connection) -> tuple[City, ...]:
    rows = connection.execute("SELECT id::text, country_code FROM cities ORDER BY id").fetchall()
    if not rows:
        raise FillRefused("cities is empty; load the reference data first: shippyard seed")
    return tuple(City(*row) for row in rows)


def _statement(table: Table, names: Sequence[str]) -> sql.Composed:
    return sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table.name), sql.SQL(", ").join(map(sql.Identifier, names))
    )
