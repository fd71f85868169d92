"""Owns checksums of all data of a database that nobody writes to: by table and column.

Two looks are equal when the same rows hold the same values, wherever they lie. What they mean is
not known here. Read by a superuser, so that no policy hides a row.
"""

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shippyard.postgres.session import QueryFailed, Session, open_session
from shippyard.postgres.target import Target
from shippyard.postgres.writing import quoted_name

ASK_TIMEOUT_S = 30.0
TIMED_OUT = "57014"
WHOLE_NUMBERS = frozenset({"smallint", "integer", "bigint"})
SETTINGS = {
    "DateStyle": "ISO,YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "row_security": "off",
    "max_parallel_workers_per_gather": "2",
    "jit": "off",
}

_TABLES_SQL = """
SELECT n.nspname AS schema, c.relname AS name,
    coalesce(array_agg(a.attname ORDER BY a.attnum) FILTER (WHERE a.attnum IS NOT NULL), '{}')
        ::text[] AS columns,
    coalesce(
        array_agg(format_type(a.atttypid, NULL) ORDER BY a.attnum)
            FILTER (WHERE a.attnum IS NOT NULL), '{}'
    )::text[] AS types,
    coalesce((
        SELECT array_agg(k.attname ORDER BY p.place) FROM pg_index AS i
        CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS p (attnum, place)
        JOIN pg_attribute AS k ON k.attrelid = c.oid AND k.attnum = p.attnum
        WHERE i.indrelid = c.oid AND i.indisprimary
    ), '{}')::text[] AS key
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname !~ '^pg_'
    AND n.nspname NOT IN ('information_schema', 'shippyard') AND c.relname <> 'alembic_version'
GROUP BY c.oid, n.nspname, c.relname, c.relpages
ORDER BY c.relpages
"""
_SEQUENCES_SQL = """
SELECT quote_ident(schemaname) || '.' || quote_ident(sequencename) AS name, last_value AS last,
    increment_by > 0 AS upwards
FROM pg_sequences WHERE schemaname !~ '^pg_' AND schemaname <> 'shippyard'
"""


@dataclass(frozen=True)
class ColumnTaken:
    """One column: how many values are not null, and the checksum of all with their row's key."""

    values: int
    checksum: str


@dataclass(frozen=True)
class TableTaken:
    """One table's rows, and its columns by name."""

    rows: int
    columns: Mapping[str, ColumnTaken]


@dataclass(frozen=True)
class DataTaken:
    """A database's data at one moment.

    `tables` by name (`public.users`), `sequences` with how far each is, counted away from where it
    began; `unread` are tables for which there was no time.
    """

    tables: Mapping[str, TableTaken]
    sequences: Mapping[str, int | None]
    unread: tuple[str, ...] = ()


def take_data(target: Target, *, seconds: float) -> DataTaken:
    """Look at every row of every table, the smallest tables first, for so many seconds at most.

    Raises:
        Unreachable, QueryFailed: the server did not answer.
    """
    until = time.monotonic() + seconds
    found: dict[str, TableTaken] = {}
    unread: list[str] = []
    with contextlib.closing(open_session(target, "rehearsal-data", settings=SETTINGS)) as asking:
        for row in asking.query(_TABLES_SQL, timeout_s=ASK_TIMEOUT_S):
            name = _named(row["schema"], row["name"])
            taken = _taken(asking, row, until - time.monotonic())
            if taken is None:
                unread.append(name)
            else:
                found[name] = taken
        return DataTaken(found, _sequences(asking), tuple(unread))


def _sequences(asking: Session) -> Mapping[str, int | None]:
    rows = asking.query(_SEQUENCES_SQL, timeout_s=ASK_TIMEOUT_S)
    return {
        str(row["name"]): row["last"] and row["last"] * (1 if row["upwards"] else -1)
        for row in rows
    }


def _taken(asking: Session, row: Mapping[str, object], left_s: float) -> TableTaken | None:
    """None when the time ran out."""
    if left_s <= 0:
        return None
    columns = _strings(row["columns"])
    statement = _question(row, columns)
    try:
        (found,) = asking.query(statement, timeout_s=left_s)
    except QueryFailed as error:
        if error.sqlstate == TIMED_OUT:
            return None
        raise
    return TableTaken(
        found["rows"],
        {
            name: ColumnTaken(found[f"n{place}"], str(found[f"s{place}"]))
            for place, name in enumerate(columns)
        },
    )


def _question(row: Mapping[str, object], columns: Sequence[str]) -> str:
    """One pass over a table. A sum of hashes takes no order, and equal values don't cancel out."""
    types = dict(zip(columns, _strings(row["types"]), strict=True))
    seed = _seed(_strings(row["key"]), types)
    parts = ["count(*) AS rows"]
    for place, name in enumerate(columns):
        column = quoted_name(name)
        hashed = _hashed(column, types[name], seed)
        parts.append(f"count({column}) AS n{place}, sum({hashed}) AS s{place}")
    where = f"{quoted_name(str(row['schema']))}.{quoted_name(str(row['name']))}"
    return f"SELECT {', '.join(parts)} FROM {where}"


def _seed(key: Sequence[str], types: Mapping[str, str]) -> str:
    """What ties a value to its row: that two rows swapped their values is a change, too."""
    if not key:
        return "0"
    if len(key) == 1 and types[key[0]] in WHOLE_NUMBERS:
        return f"{quoted_name(key[0])}::bigint"
    hashed = "0"
    for name in key:
        hashed = _hashed(quoted_name(name), types[name], hashed)
    return hashed


def _hashed(column: str, type_: str, seed: str) -> str:
    if type_ in WHOLE_NUMBERS:
        return f"hashint8extended({column}::bigint, {seed})"
    return f'hashtextextended({column}::text COLLATE "C", {seed})'


def _strings(value: object) -> list[str]:
    assert isinstance(value, list)
    return [str(each) for each in value]


def _named(schema: str, name: str) -> str:
    """As PostgreSQL writes names: quoted where they have to be."""
    return ".".join(
        part if part.isidentifier() and part == part.lower() else quoted_name(part)
        for part in (schema, name)
    )
