"""Owns what the steps of `shippyard.migration.ops` become as SQL: each is a safe form."""

from collections.abc import Callable, Iterator

from shippyard.migration.hazards.reading.operations import Arguments
from shippyard.migration.hazards.reading.types import quoted

IN_TRANSACTION = frozenset({"drop_dual_write", "dual_write"})


def step_sql(verb: str, given: Arguments) -> Iterator[str]:
    """The statements of a step; none where it only asks."""
    write = STEPS.get(verb)
    if write:
        yield from write(given)


def _create_index(given: Arguments) -> Iterator[str]:
    unique = "UNIQUE " if given.option("unique") is True else ""
    keys = given.columns(2, "keys")
    table = given.table(1, "table")
    yield f"CREATE {unique}INDEX CONCURRENTLY {given.name(0, 'name')} ON {table} ({keys})"


def _drop_index(given: Arguments) -> Iterator[str]:
    yield f"DROP INDEX CONCURRENTLY IF EXISTS {given.name(0, 'name')}"


def _add_check(given: Arguments) -> Iterator[str]:
    name, table = given.name(0, "name"), given.table(1, "table")
    yield from _validated(name, table, f"CHECK ({given.get(2, 'condition')})")


def _add_foreign_key(given: Arguments) -> Iterator[str]:
    name, table = given.name(0, "name"), given.table(1, "table")
    here, there = given.columns(2, "columns"), given.columns(4, "referred_columns")
    other = given.name(3, "referred_table")
    yield from _validated(name, table, f"FOREIGN KEY ({here}) REFERENCES {other} ({there})")


def _add_unique(given: Arguments) -> Iterator[str]:
    name, table = given.name(0, "name"), given.table(1, "table")
    yield f"CREATE UNIQUE INDEX CONCURRENTLY {name} ON {table} ({given.columns(2, 'columns')})"
    yield f"ALTER TABLE {table} ADD CONSTRAINT {name} UNIQUE USING INDEX {name}"


def _add_not_null(given: Arguments) -> Iterator[str]:
    table, column = given.table(0, "table"), given.name(1, "column")
    name = quoted(f"ck_{given.get(0, 'table')}_{given.get(1, 'column')}_not_null")
    yield from _validated(name, table, f"CHECK ({column} IS NOT NULL)")
    yield f"ALTER TABLE {table} ALTER COLUMN {column} SET NOT NULL"
    yield f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}"


def _validated(name: str, table: str, definition: str) -> Iterator[str]:
    yield f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition} NOT VALID"
    yield f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}"


def _backfill(given: Arguments) -> Iterator[str]:
    columns = given.get(2, "set_")
    sets = ", ".join(f"{quoted(str(each))} = NULL" for each in columns) if columns else ""
    if isinstance(columns, dict) and sets:
        yield f"UPDATE {given.table(1, 'table')} SET {sets}"


def _dual_write(given: Arguments) -> Iterator[str]:
    trigger, table = _trigger(given), given.table(0, "table")
    yield f"CREATE OR REPLACE FUNCTION {trigger}() RETURNS trigger LANGUAGE plpgsql AS ''"
    yield f"CREATE OR REPLACE TRIGGER {trigger} BEFORE UPDATE ON {table} EXECUTE FUNCTION f()"


def _drop_dual_write(given: Arguments) -> Iterator[str]:
    trigger = _trigger(given)
    yield f"DROP TRIGGER IF EXISTS {trigger} ON {given.table(0, 'table')}"
    yield f"DROP FUNCTION IF EXISTS {trigger}()"


def _trigger(given: Arguments) -> str:
    return quoted(f"dual_write_{given.get(0, 'table')}_{given.get(1, 'old')}_{given.get(2, 'new')}")


STEPS: dict[str, Callable[[Arguments], Iterator[str]]] = {
    "add_check": _add_check,
    "add_foreign_key": _add_foreign_key,
    "add_not_null": _add_not_null,
    "add_unique": _add_unique,
    "backfill": _backfill,
    "create_index_concurrently": _create_index,
    "drop_dual_write": _drop_dual_write,
    "drop_index_concurrently": _drop_index,
    "dual_write": _dual_write,
}
