"""Rows that are changed many at once. H36, H37."""

from collections.abc import Iterator
from typing import Any

from shippyard.migration.hazards.reading.nodes import (
    relation,
    walk,
    words,
)
from shippyard.migration.hazards.reading.sql import Node, Statement
from shippyard.migration.hazards.rules.locking import strongly_locked
from shippyard.migration.hazards.scene import Found, Scene

KEYS = frozenset({"id", "code", "key", "slug", "uuid", "name", "email", "ctid", "reference"})
CHANGES = ("update_stmt", "delete_stmt", "merge_stmt")


def changing_rows(scene: Scene) -> Iterator[Found]:
    """Row locks until the commit, twice the size, and no vacuum meanwhile."""
    if not scene.is_a(*CHANGES):
        return
    table = relation(scene.node.get("relation"))
    if not scene.in_use(table) or _is_narrow(scene, scene.node.get("where_clause")):
        return
    whole = _is_wide(scene.node.get("where_clause")) or scene.statement.kind == "merge_stmt"
    yield Found(
        "H36",
        "block" if whole else "warn",
        f"every row of {table} that it touches stays locked until the transaction ends, and is "
        "written twice",
        f"a revision with this step alone: ops.backfill('<name>', {table!r}, {{...}}, where='...')",
    )


def changing_rows_under_a_lock(scene: Scene) -> Iterator[Found]:
    """A lock that was taken for a moment is held while rows are written."""
    if not (scene.is_a(*CHANGES) or _copies(scene)):
        return
    table = relation(scene.node.get("relation"))
    if not scene.in_use(table) and not _reads_many(scene.node):
        return
    if _is_narrow(scene, scene.node.get("where_clause")) and not _copies(scene):
        return
    held = sorted({name for each in scene.same_transaction() for name in _held(scene, each)})
    if held:
        yield Found(
            "H37",
            "block",
            f"{', '.join(held)} stays locked while rows are written: nobody reads or writes it",
            "the change of the schema in one revision, the rows in the next: ops.backfill",
        )


def _held(scene: Scene, statement: Statement) -> set[str]:
    return {name for name in strongly_locked(statement) if scene.in_use(name)}


def _copies(scene: Scene) -> bool:
    """INSERT ... SELECT from a table."""
    return scene.is_a("insert_stmt") and _reads_many(scene.node)


def _reads_many(node: Node) -> bool:
    return any(kind == "from_clause" or "from_clause" in each for kind, each in walk(node))


def _is_wide(where: Any) -> bool:
    """True without a condition, or with one that says only that a value is missing or differs."""
    if not where or "a_const" in where or "null_test" in where:
        return True
    operator = where.get("a_expr", {})
    if operator.get("kind") in {"AEXPR_DISTINCT", "AEXPR_NOT_DISTINCT"}:
        return True
    both = where.get("bool_expr", {})
    return bool(both) and all(map(_is_wide, both.get("args", ())))


def _is_narrow(scene: Scene, where: Any) -> bool:
    """True when a key is compared with constants, or a LIMIT bounds the rows."""
    if not where:
        return False
    both = where.get("bool_expr", {})
    if both.get("boolop") == "AND_EXPR":
        return any(_is_narrow(scene, each) for each in both.get("args", ()))
    if "sub_link" in where:
        return any("limit_count" in each for _, each in walk(where))
    return _compares_a_key(where.get("a_expr", {}))


def _compares_a_key(node: Node) -> bool:
    sides = [_column(node.get(side, {})) for side in ("lexpr", "rexpr")]
    if all(sides):
        return False  # a join: of how many rows is not known
    column = sides[0] or sides[1]
    if node.get("kind") == "AEXPR_BETWEEN":
        return column == "id" or column.endswith("_id")
    if node.get("kind") == "AEXPR_OP_ANY":
        return any("limit_count" in each for _, each in walk(node)) or column in KEYS
    equal = words(node.get("name")) == ["="] and node.get("kind") in {"AEXPR_OP", "AEXPR_IN"}
    return equal and (column in KEYS or column.endswith(("_id", "_code", "_key")))


def _column(node: Node) -> str:
    names = words(node.get("column_ref", {}).get("fields"))
    return names[-1] if names else ""
