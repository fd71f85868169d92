"""Columns that are added to a table in use. H10, H11, H13, H14, H55."""

from collections.abc import Iterator

from shippyard.migration.hazards.reading.nodes import (
    called,
    column_of,
    constraint,
    is_null,
    type_of,
)
from shippyard.migration.hazards.reading.sql import Node
from shippyard.migration.hazards.rules.volatility import volatile_in
from shippyard.migration.hazards.scene import Found, Scene

SERIAL = frozenset({"serial", "bigserial", "smallserial", "serial2", "serial4", "serial8"})
REWRITTEN = "every row is written anew under ACCESS EXCLUSIVE, and every index is built again"


def adding_columns(scene: Scene) -> Iterator[Found]:
    """A column whose values must be computed for each row, or that no row can have."""
    for table, command in scene.subcommands("AT_AddColumn"):
        column = column_of(command)
        if not (command.get("missing_ok") and _is_there(scene, table, column)):
            yield from _added(scene, table, column)


def _is_there(scene: Scene, table: str, column: Node) -> bool:
    return column.get("colname") in scene.schema.table(table).columns


def _added(scene: Scene, table: str, column: Node) -> Iterator[Found]:
    name, kind = column.get("colname", ""), type_of(column.get("type_name"))
    counts = kind in SERIAL or constraint(column, "CONSTR_IDENTITY")
    computed = constraint(column, "CONSTR_GENERATED")
    default = (constraint(column, "CONSTR_DEFAULT") or {}).get("raw_expr")
    if counts:
        yield _counted(table, name)
    elif computed and _is_stored(computed):
        yield _computed(table, name)
    elif default and not is_null(default):
        yield from _defaulted(scene, table, column, default)
    elif scene.schema.domains.get(kind):
        yield _of_domain(table, name, kind)
    elif constraint(column, "CONSTR_NOTNULL") or constraint(column, "CONSTR_PRIMARY"):
        yield _required(table, name, kind)
    if kind == "json":
        yield _json(table, name)


def _is_stored(node: Node) -> bool:
    return bool(node.get("generated_kind", "s") != "v")


def _counted(table: str, name: str) -> Found:
    return Found(
        "H13",
        "block",
        f"{table}.{name} is a number for each row: {REWRITTEN}",
        f"ALTER TABLE {table} ADD COLUMN {name} bigint; then ALTER COLUMN {name} SET DEFAULT "
        f"nextval('...'), ops.backfill, ops.add_not_null({table!r}, {name!r})",
    )


def _computed(table: str, name: str) -> Found:
    return Found(
        "H14",
        "block",
        f"{table}.{name} is computed for each row: {REWRITTEN}",
        f"ALTER TABLE {table} ADD COLUMN {name} <type>, a trigger that fills it for new rows, and "
        f"ops.backfill(..., {table!r}, {{{name!r}: '<expression>'}})",
    )


def _defaulted(scene: Scene, table: str, column: Node, default: Node) -> Iterator[Found]:
    name, kind = column.get("colname", ""), type_of(column.get("type_name"))
    functions = volatile_in(called(default), scene.schema)
    if functions.sure or functions.unsure or scene.schema.domains.get(kind):
        word = ", ".join(sorted(functions.sure | functions.unsure)) or f"domain {kind}"
        yield Found(
            "H11",
            "block" if functions.sure or not functions.unsure else "warn",
            f"the default ({word}) has a value of its own for each row: {REWRITTEN}",
            f"ALTER TABLE {table} ADD COLUMN {name} {kind}; ALTER TABLE {table} ALTER COLUMN "
            f"{name} SET DEFAULT ...; then ops.backfill for the rows that are there",
        )


def _of_domain(table: str, name: str, kind: str) -> Found:
    return Found(
        "H11",
        "block",
        f"the domain {kind} has constraints, which are looked at in each row: {REWRITTEN}",
        f"ALTER TABLE {table} ADD COLUMN {name} <base type>, and ops.add_check in a revision after",
    )


def _required(table: str, name: str, kind: str) -> Found:
    return Found(
        "H10",
        "block",
        f"{table} has rows, and none has a {name}: it fails (23502)",
        f"ALTER TABLE {table} ADD COLUMN {name} {kind}; ops.backfill in the next revision; "
        f"ops.add_not_null({table!r}, {name!r}) in the one after. Or give it a constant DEFAULT",
    )


def _json(table: str, name: str) -> Found:
    return Found(
        "H55",
        "warn",
        "json has no equality: SELECT DISTINCT, UNION and GROUP BY over the row fail",
        f"ALTER TABLE {table} ADD COLUMN {name} jsonb",
    )
