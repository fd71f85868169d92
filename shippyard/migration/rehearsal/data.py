"""Owns checksums of all data of a database at one moment: by table and column.

Two looks are equal when the same rows hold the same values, wherever they lie. What they mean is
not known here. Read by a superuser, so that no policy hides a row. Every row is read or its table
is named: a sample would prove nothing of the rows beside it.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shippyard.postgres.session import QueryFailed, Row
from shippyard.postgres.snapshot import SnapshotSession, snapshot_session
from shippyard.postgres.target import Target
from shippyard.postgres.writing import quoted_name

ASK_TIMEOUT_S = 30.0
BESIDE_S = 90.0
"""What is asked beside the tables may take so long at most."""
TIMED_OUT = "57014"
COLUMNS_AT_ONCE = 400
"""A question has 1,664 answers at most, and workers hand over several for each."""
WHOLE_NUMBERS = frozenset({"smallint", "integer", "bigint"})
MOMENTS = frozenset({"timestamp without time zone", "timestamp with time zone"})
SETTINGS = {
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "xmlbinary": "base64",
    "max_parallel_workers_per_gather": "2",
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
GROUP BY c.oid, n.nspname, c.relname
ORDER BY (SELECT sum(pg_table_size(t.relid)) FROM (
    SELECT relid FROM pg_partition_tree(c.oid) UNION SELECT c.oid
) AS t), n.nspname, c.relname
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
    """One table's rows, and its columns by name.

    `together` is of whole rows, where no key says which values belong to each other; else empty.
    """

    rows: int
    columns: Mapping[str, ColumnTaken]
    together: str = ""


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
    with snapshot_session(
        target, "rehearsal-data", max_s=seconds + BESIDE_S, settings=SETTINGS
    ) as asking:
        for row in asking.query(_TABLES_SQL, timeout_s=ASK_TIMEOUT_S):
            name = _named(row["schema"], row["name"])
            taken = _taken(asking, row, until)
            if taken is None:
                unread.append(name)
            else:
                found[name] = taken
        return DataTaken(found, _sequences(asking), tuple(unread))


def _sequences(asking: SnapshotSession) -> Mapping[str, int | None]:
    rows = asking.query(_SEQUENCES_SQL, timeout_s=ASK_TIMEOUT_S)
    return {
        str(row["name"]): row["last"] and row["last"] * (1 if row["upwards"] else -1)
        for row in rows
    }


def _taken(asking: SnapshotSession, row: Row, until: float) -> TableTaken | None:
    """None when the time ran out."""
    columns = _strings(row["columns"])
    found: Row = {}
    # A table without columns has rows, too.
    for first in range(0, max(1, len(columns)), COLUMNS_AT_ONCE):
        part = _answer(asking, _question(row, first), until - time.monotonic())
        if part is None:
            return None
        found |= part
    return TableTaken(
        found["rows"],
        {
            name: ColumnTaken(found[f"n{place}"], str(found[f"s{place}"]))
            for place, name in enumerate(columns)
        },
        str(found["together"]),
    )


def _answer(asking: SnapshotSession, statement: str, left_s: float) -> Row | None:
    if left_s <= 0:
        return None
    try:
        (found,) = asking.attempt(statement, timeout_s=left_s)
    except QueryFailed as error:
        if error.sqlstate == TIMED_OUT:
            return None
        raise
    return found


def _question(row: Row, first: int) -> str:
    """One pass over a table. A sum of hashes takes no order, and equal values don't cancel out."""
    columns, key = _strings(row["columns"]), _strings(row["key"])
    types = dict(zip(columns, _strings(row["types"]), strict=True))
    seed = _seed(key, types)
    parts = ["count(*) AS rows", f"{'NULL' if key else _together(columns, types)} AS together"]
    for place in range(first, min(first + COLUMNS_AT_ONCE, len(columns))):
        column = quoted_name(columns[place])
        hashed = _hashed(column, types[columns[place]], seed)
        parts.append(f"count({column}) AS n{place}, sum({hashed}) AS s{place}")
    where = f"{quoted_name(str(row['schema']))}.{quoted_name(str(row['name']))}"
    return f"SELECT {', '.join(parts)} FROM {where}"


def _seed(key: Sequence[str], types: Mapping[str, str]) -> str:
    """What ties a value to its row: that two rows swapped their values is a change, too."""
    if len(key) == 1 and types[key[0]] in WHOLE_NUMBERS:
        return f"{quoted_name(key[0])}::bigint"
    hashed = "0"
    for name in sorted(key):
        hashed = _hashed(quoted_name(name), types[name], hashed)
    return hashed


def _together(columns: Sequence[str], types: Mapping[str, str]) -> str:
    """Of whole rows. A column's place in its table says nothing, but its name does."""
    if not columns[1:]:
        return "NULL"
    each = (
        _hashed(quoted_name(name), types[name], str(n)) for n, name in enumerate(sorted(columns))
    )
    return f"sum(hash_record_extended(ROW({', '.join(each)}), 0))"


def _hashed(column: str, type_: str, seed: str) -> str:
    """Straight from the value where that is as exact as its text, and much quicker."""
    if type_ in WHOLE_NUMBERS:
        return f"hashint8extended({column}::bigint, {seed})"
    if type_ in MOMENTS:
        return f"timestamp_hash_extended({column}::timestamp, {seed})"
    if type_ == "uuid":
        return f"uuid_hash_extended({column}, {seed})"
    if type_ == "boolean":
        return f"hashint8extended({column}::int::bigint, {seed})"
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
