"""Columns whose type changes while the table is in use. H15, H16, H18, H19."""

import re
from collections.abc import Iterator

from shippyard.migration.hazards.model import Level
from shippyard.migration.hazards.reading.nodes import column_of, columns_in, type_of, walk
from shippyard.migration.hazards.reading.sql import Node, read_sql
from shippyard.migration.hazards.rules.coercion import Change, change_between
from shippyard.migration.hazards.scene import Found, Scene
from shippyard.migration.hazards.schema import views_that_read

WAS = re.compile(r"/\* was (.+?) \*/")
WRITTEN = "every row is written anew under ACCESS EXCLUSIVE, and every index is built again"


def changing_types(scene: Scene) -> Iterator[Found]:
    """Most changes write every row anew; a view that reads the column makes each fail."""
    for table, command in scene.subcommands("AT_AlterColumnType"):
        name, column = command.get("name", ""), column_of(command)
        old, new = known_type(scene, table, name), type_of(column.get("type_name"))
        views = views_that_read(scene.schema, table, name)
        if views:
            yield _read_by_view(table, name, views)
        if _computes(column, name):
            yield _written(table, name, new)
        elif old:
            yield from _known(table, name, old, new, scene)
        else:
            yield from _unknown(table, name, new)


def known_type(scene: Scene, table: str, column: str) -> str:
    """A column's type before; else as the author says, or the way back."""
    known = scene.schema.type_of(table, column) or _said(scene)
    return known or scene.schema.types_after.get((table, column), "")


def _said(scene: Scene) -> str:
    """The existing_type that the author has given with the operation."""
    found = WAS.search(scene.statement.comment)
    parsed = read_sql(f"SELECT NULL::{found.group(1)}", in_transaction=True) if found else ()
    casts = [each for kind, each in walk(parsed[0].node if parsed else {}) if kind == "type_cast"]
    return type_of(casts[0].get("type_name")) if casts else ""


def _known(table: str, name: str, old: str, new: str, scene: Scene) -> Iterator[Found]:
    match change_between(old, new, scene.schema.domains):
        case Change.SHRINKS:
            yield _shrinks(table, name, old, new)
        case Change.TIME_ZONE:
            yield _time_zone(table, name)
        case Change.REWRITES:
            yield _written(table, name, new, old)


def _unknown(table: str, name: str, new: str) -> Iterator[Found]:
    """What was there before is not known: some types can only be come to by writing each row."""
    base = new.partition("(")[0]
    if new in {"text", "varchar"}:
        yield _maybe("note", table, name, new)
    elif base in {"varchar", "numeric", "bit", "varbit", "citext", "inet"}:
        yield _maybe("warn", table, name, new)
    elif base in {"timestamp", "timestamptz"}:
        yield _time_zone(table, name)
    else:
        yield _written(table, name, new)


def _computes(column: Node, name: str) -> bool:
    """True for a USING that does more than cast the column itself."""
    using: Node = column.get("raw_default", {})
    while using and "type_cast" in using:
        if type_of(using["type_cast"].get("type_name")) != type_of(column.get("type_name")):
            return True
        using = using["type_cast"].get("arg", {})
    return bool(using) and not ("column_ref" in using and columns_in(using) == {name})


def _swap(table: str, name: str, new: str) -> str:
    return (
        f"ALTER TABLE {table} ADD COLUMN {name}_new {new}; ops.dual_write({table!r}, {name!r}, "
        f"'{name}_new'); ops.backfill; let the code read {name}_new; drop {name} in a later release"
    )


def _written(table: str, name: str, new: str, old: str = "") -> Found:
    said = f"{table}.{name} from {old} to {new}" if old else f"{table}.{name} becomes {new}"
    return Found("H15", "block", f"{said}: {WRITTEN}", _swap(table, name, new))


def _shrinks(table: str, name: str, old: str, new: str) -> Found:
    return Found(
        "H16",
        "block",
        f"{table}.{name} shrinks from {old} to {new}: {WRITTEN}; it fails on a longer value",
        f"ops.add_check('ck_{table}_{name}', {table!r}, 'char_length({name}) <= ...') keeps {old}",
    )


def _time_zone(table: str, name: str) -> Found:
    return Found(
        "H18",
        "warn",
        f"{table}.{name}: every row is written anew unless the session's TimeZone is UTC",
        _swap(table, name, "timestamptz"),
    )


def _maybe(level: Level, table: str, name: str, new: str) -> Found:
    return Found(
        "H16" if new.startswith("varchar") else "H15",
        level,
        f"{table}.{name} becomes {new}: free when it only grows, else {WRITTEN}",
        f"say existing_type= in op.alter_column, so that it can be told; else "
        f"{_swap(table, name, new)}",
    )


def _read_by_view(table: str, name: str, views: list[str]) -> Found:
    word = ", ".join(views)
    return Found(
        "H19",
        "block",
        f"view {word} reads {table}.{name}: it fails (0A000)",
        f"in the same transaction: DROP VIEW {word}; ALTER TABLE {table} ...; CREATE VIEW {word}",
    )
