"""Owns asking a parsed statement for names, types and constants. Decides nothing."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from shippyard.migration.hazards.reading.sql import Node

INTERNAL = {
    "integer": "int4",
    "int": "int4",
    "smallint": "int2",
    "bigint": "int8",
    "decimal": "numeric",
    "real": "float4",
    "boolean": "bool",
    "character": "bpchar",
}


def words(items: Iterable[Node] | None) -> list[str]:
    """The strings of a list of names."""
    return [item["string"].get("sval", "") for item in items or () if "string" in item]


def joined(names: Iterable[str]) -> str:
    """A qualified name; `public` and `pg_catalog` are what everybody means anyway."""
    parts = [name for name in names if name]
    return ".".join(parts[1:] if len(parts) > 1 and parts[0] in {"public", "pg_catalog"} else parts)


def relation(node: Node | None) -> str:
    """The name of a RangeVar."""
    return joined([(node or {}).get("schemaname", ""), (node or {}).get("relname", "")])


def items(node: Node, name: str, kind: str) -> list[Node]:
    """The members of one kind of a list of nodes."""
    return [each[kind] for each in node.get(name, ()) if kind in each]


def commands(node: Node) -> list[Node]:
    """The subcommands of an ALTER TABLE."""
    return items(node, "cmds", "alter_table_cmd")


def column_of(command: Node) -> Node:
    """The column definition that a subcommand has."""
    found: Node = command.get("def", {}).get("column_def", {})
    return found


def constraint_of(command: Node) -> Node:
    """The constraint that a subcommand has."""
    found: Node = command.get("def", {}).get("constraint", {})
    return found


def constraints(column: Node) -> list[Node]:
    """The constraints written with a column, its default among them."""
    return items(column, "constraints", "constraint")


def constraint(column: Node, kind: str) -> Node | None:
    """The column's constraint of one kind (`CONSTR_NOTNULL`)."""
    return next((each for each in constraints(column) if each.get("contype") == kind), None)


def type_of(node: Node | None) -> str:
    """A type as one word: `varchar(50)`, `int4`, `text[]`; "" when there is none."""
    if not node:
        return ""
    name = joined(words(node.get("names")))
    sizes = [
        str(each["a_const"]["ival"].get("ival", 0))
        for each in node.get("typmods", ())
        if "ival" in each.get("a_const", {})
    ]
    size = f"({','.join(sizes)})" if sizes else ""
    return INTERNAL.get(name, name) + size + "[]" * len(node.get("array_bounds", ()))


def dropped(node: Node) -> list[str]:
    """The names that a DROP has."""
    return [_object_name(each) for each in node.get("objects", ())]


def _object_name(node: Node) -> str:
    if "list" in node:
        return joined(words(node["list"].get("items")))
    if "type_name" in node:
        return joined(words(node["type_name"].get("names")))
    if "object_with_args" in node:
        return joined(words(node["object_with_args"].get("objname")))
    return joined(words([node]))


def walk(node: Any) -> Iterator[tuple[str, Node]]:
    """Every node below this one, with its kind."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            if isinstance(value, Mapping):
                yield name, value
            yield from walk(value)
    elif isinstance(node, list | tuple):
        for each in node:
            yield from walk(each)


def strings(node: Any) -> set[str]:
    """Every string constant below."""
    return {
        each["sval"]["sval"]
        for kind, each in walk(node)
        if kind == "a_const" and "sval" in each.get("sval", {})
    }


def called(node: Any) -> set[str]:
    """The names of all functions that are called below."""
    calls = (each for kind, each in walk(node) if kind in {"func_call", "funccall"})
    return {joined(words(each.get("funcname"))) for each in calls}


def columns_in(node: Any) -> set[str]:
    """The columns that an expression names."""
    found = (each.get("fields") for kind, each in walk(node) if kind == "column_ref")
    return {names[-1] for names in map(words, found) if names}


def is_null(node: Node | None) -> bool:
    """True for a NULL written out."""
    return bool((node or {}).get("a_const", {}).get("isnull"))
