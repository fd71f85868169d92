"""Owns constraints on tables in use: added for new rows first, looked at in old ones later.

A plain ADD CONSTRAINT or SET NOT NULL scans the table under a lock that stops writers, or everyone.
Here the strong lock is held for a moment, and the scan holds one that lets everyone read and write.
"""

from collections.abc import Sequence

from sqlalchemy.exc import DBAPIError

from shippyard.migration.ops.indexes import IndexSpec, build_index
from shippyard.migration.ops.steps import (
    StepRefused,
    Steps,
    apart,
    execute,
    qualified,
    quoted,
    sqlstate_of,
)

VIOLATED = frozenset({"23514", "23503"})  # check_violation, foreign_key_violation

CONSTRAINT_SQL = """
SELECT convalidated AS valid, pg_catalog.pg_get_constraintdef(oid) AS definition
FROM pg_catalog.pg_constraint
WHERE conrelid = pg_catalog.to_regclass(:table) AND conname = :name
"""

NOT_NULL_SQL = """
SELECT attnotnull AS is_set FROM pg_catalog.pg_attribute
WHERE attrelid = pg_catalog.to_regclass(:table) AND attname = :column AND NOT attisdropped
"""

# An index serves a key when the key's columns come first in it, in any order.
LEADING_INDEX_SQL = """
SELECT i.indexrelid FROM pg_catalog.pg_index i
WHERE i.indrelid = pg_catalog.to_regclass(:table) AND i.indisvalid AND i.indpred IS NULL
AND (
    SELECT array_agg(a.attname::text ORDER BY a.attname)
    FROM pg_catalog.unnest((i.indkey::int2[])[0:cardinality(CAST(:columns AS text[])) - 1]) AS k (n)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.n
) = (SELECT array_agg(c ORDER BY c) FROM pg_catalog.unnest(CAST(:columns AS text[])) AS c)
LIMIT 1
"""


def add_check(name: str, table: str, condition: str, *, schema: str | None = None) -> None:
    """Add a check: for rows written from now on, then for those that are there.

    Locks: ACCESS EXCLUSIVE on the table for a moment; then SHARE UPDATE EXCLUSIVE while the rows
    are read. Running code is refused rows that break it from the first moment.

    Taken back by `op.drop_constraint`. A second try goes on where the first one stopped. When a row
    breaks it, the check is taken away again.

    Raises:
        StepRefused: rows break it, or a check of that name says something else.
    """
    with apart() as steps:
        _add_validated(steps, name, qualified(table, schema), f"CHECK ({condition})")


def add_foreign_key(
    name: str,
    table: str,
    columns: Sequence[str],
    referred_table: str,
    referred_columns: Sequence[str],
    *,
    ondelete: str | None = None,
    schema: str | None = None,
    referred_schema: str | None = None,
) -> None:
    """Add a foreign key: for rows written from now on, then for those that are there.

    Locks: SHARE ROW EXCLUSIVE on both tables for a moment, which stops writers; then SHARE UPDATE
    EXCLUSIVE on the table and ROW SHARE on the other while the rows are compared.

    Taken back by `op.drop_constraint`. A second try goes on where the first one stopped. When a row
    points nowhere, the key is taken away again.

    Raises:
        StepRefused: no index begins with `columns` (each delete over there would scan this table),
            rows point nowhere, or a key of that name says something else.
    """
    definition = (
        f"FOREIGN KEY ({quoted(*columns)}) "
        f"REFERENCES {qualified(referred_table, referred_schema)} ({quoted(*referred_columns)})"
    )
    if ondelete:
        definition += f" ON DELETE {ondelete}"
    where = qualified(table, schema)
    with apart() as steps:
        if not steps.rendering:
            _expect_index(steps, where, columns)
        _add_validated(steps, name, where, definition)


def add_unique(name: str, table: str, columns: Sequence[str], *, schema: str | None = None) -> None:
    """Add a unique constraint on an index that is built concurrently first.

    Locks: as `create_index_concurrently`; then ACCESS EXCLUSIVE on the table for a moment.

    Taken back by `op.drop_constraint`, which drops the index too. A second try adopts or rebuilds
    the index and finds the constraint. When rows are not unique, nothing stays.

    Raises:
        StepRefused: rows are not unique, or something else has that name.
    """
    where = qualified(table, schema)
    keys = tuple(quoted(column) for column in columns)
    with apart() as steps:
        if not steps.rendering and steps.ask(CONSTRAINT_SQL, table=where, name=name):
            return
        build_index(steps, IndexSpec(name, table, keys, unique=True, schema=schema))
        steps.take(
            f"ALTER TABLE {where} ADD CONSTRAINT {quoted(name)} UNIQUE USING INDEX {quoted(name)}"
        )


def add_not_null(table: str, column: str, *, schema: str | None = None) -> None:
    """Make a column NOT NULL by way of a check, so that no scan holds a strong lock.

    Locks: ACCESS EXCLUSIVE on the table for a moment, three times; between them SHARE UPDATE
    EXCLUSIVE while the rows are read. PostgreSQL (12 and later) skips SET NOT NULL's own scan where
    a valid check says the same.

    Taken back by `op.alter_column(..., nullable=True)`. A second try goes on where the first one
    stopped. When a row has no value, nothing stays.

    Raises:
        StepRefused: rows have no value; backfill them in a revision before.
    """
    where, name = qualified(table, schema), f"ck_{table}_{column}_not_null"
    with apart() as steps:
        if not _is_not_null(steps, where, column):
            _add_validated(steps, name, where, f"CHECK ({quoted(column)} IS NOT NULL)")
            steps.take(f"ALTER TABLE {where} ALTER COLUMN {quoted(column)} SET NOT NULL")
        steps.take(f"ALTER TABLE {where} DROP CONSTRAINT IF EXISTS {quoted(name)}")


def _add_validated(steps: Steps, name: str, table: str, definition: str) -> None:
    found = None if steps.rendering else steps.ask(CONSTRAINT_SQL, table=table, name=name)
    if found is None:
        steps.take(f"ALTER TABLE {table} ADD CONSTRAINT {quoted(name)} {definition} NOT VALID")
    else:
        _expect_same(steps, name, table, definition, str(found["definition"]))
    if found is None or not found["valid"]:
        _validate(steps, name, table)


def _validate(steps: Steps, name: str, table: str) -> None:
    try:
        steps.take(f"ALTER TABLE {table} VALIDATE CONSTRAINT {quoted(name)}")
    except DBAPIError as error:
        if sqlstate_of(error) not in VIOLATED:
            raise
        # Left there it would go on refusing what running code writes.
        steps.take(f"ALTER TABLE {table} DROP CONSTRAINT {quoted(name)}")
        reason = " ".join(str(error.orig).split())
        raise StepRefused(f"{reason}; mend the rows in a revision before") from error


def _expect_same(steps: Steps, name: str, table: str, definition: str, found: str) -> None:
    """A constraint that is there must be the one that is wanted: a first try's."""
    is_key = definition.startswith("FOREIGN KEY")
    wanted = definition if is_key else _as_written_down(steps, name, table, definition)
    if _essence(found) != _essence(wanted):
        raise StepRefused(
            f"{name} on {table} is there and says {found}; "
            "drop it in a revision before, or choose another name"
        )


def _as_written_down(steps: Steps, name: str, table: str, check: str) -> str:
    """How the server writes a check down, tried on an empty table of that shape."""
    execute("BEGIN")
    try:
        execute(f"CREATE TEMPORARY TABLE shippyard_like (LIKE {table}) ON COMMIT DROP")
        execute(f"ALTER TABLE pg_temp.shippyard_like ADD CONSTRAINT {quoted(name)} {check}")
        row = steps.ask(CONSTRAINT_SQL, table="pg_temp.shippyard_like", name=name)
    finally:
        execute("ROLLBACK")
    assert row is not None
    return str(row["definition"])


def _essence(definition: str) -> str:
    """A definition without blanks, and without whether old rows were looked at."""
    return definition.removesuffix(" NOT VALID").replace(" ", "")


def _expect_index(steps: Steps, table: str, columns: Sequence[str]) -> None:
    if not steps.ask(LEADING_INDEX_SQL, table=table, columns=list(columns)):
        raise StepRefused(
            f"no index of {table} begins with ({', '.join(columns)}); "
            "create_index_concurrently in a revision before"
        )


def _is_not_null(steps: Steps, table: str, column: str) -> bool:
    if steps.rendering:
        return False
    found = steps.ask(NOT_NULL_SQL, table=table, column=column)
    if found is None:
        raise StepRefused(f"{table} has no column {column}; add it in a revision before")
    return bool(found["is_set"])
