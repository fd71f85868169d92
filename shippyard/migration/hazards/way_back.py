"""Owns what a downgrade forgets: what the upgrade made and it leaves, or dropped and it lacks.

Only names are compared; what they hold, the rehearsal compares.
"""

from collections.abc import Iterator, Sequence

from shippyard.migration.hazards.reading.nodes import (
    column_of,
    commands,
    dropped,
    joined,
    relation,
    words,
)
from shippyard.migration.hazards.reading.sql import Node, Statement
from shippyard.migration.hazards.reading.values import UNKNOWN_WORD

DROPPED = {
    "OBJECT_TABLE": "table",
    "OBJECT_VIEW": "view",
    "OBJECT_TYPE": "type",
    "OBJECT_SEQUENCE": "sequence",
}


def forgotten(up: Sequence[Statement], down: Sequence[Statement]) -> list[str]:
    """What is left, or missing, after both: `table users`, `column users.name`."""
    if not down or any(_is_vague(each) for each in (*up, *down)):
        return []
    there, back = _balance(up), _balance(down)
    left = {name for name, sign in there.items() if sign != 0 and back.get(name, 0) != -sign}
    tables = {name.partition(" ")[2] for name in back if name.startswith("table ")}
    return sorted(name for name in left if _table_of(name) not in tables)


def _balance(statements: Sequence[Statement]) -> dict[str, int]:
    """1 for what is made in the end, -1 for what is gone."""
    found: dict[str, int] = {}
    for statement in statements:
        for sign, name in _effects(statement.kind, statement.node):
            found[name] = found.get(name, 0) + sign
    return found


def _effects(kind: str, node: Node) -> Iterator[tuple[int, str]]:
    if kind == "create_stmt" and "partbound" not in node:
        yield 1, f"table {relation(node.get('relation'))}"
    elif kind == "create_enum_stmt":
        yield 1, f"type {joined(words(node.get('type_name')))}"
    elif kind == "view_stmt" and not node.get("replace"):
        yield 1, f"view {relation(node.get('view'))}"
    elif kind == "drop_stmt" and node.get("remove_type") in DROPPED:
        yield from ((-1, f"{DROPPED[node['remove_type']]} {name}") for name in dropped(node))
    elif kind == "alter_table_stmt":
        yield from _of_columns(node)


def _of_columns(node: Node) -> Iterator[tuple[int, str]]:
    table = relation(node.get("relation"))
    for command in commands(node):
        if command.get("subtype") == "AT_AddColumn":
            yield 1, f"column {table}.{column_of(command).get('colname')}"
        elif command.get("subtype") == "AT_DropColumn":
            yield -1, f"column {table}.{command.get('name')}"


def _table_of(name: str) -> str:
    kind, _, rest = name.partition(" ")
    return rest.rpartition(".")[0] if kind == "column" else ""


def _is_vague(statement: Statement) -> bool:
    """True for what may make and drop things unseen."""
    hidden = statement.kind in {"python", "do_stmt", "unreadable", "rename_stmt", "call_stmt"}
    return hidden or statement.unrolled or UNKNOWN_WORD in statement.text
