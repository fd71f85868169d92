"""Keys that run out. H56."""

from collections.abc import Iterator

from shippyard.migration.hazards.reading.nodes import constraint, items, relation, type_of, words
from shippyard.migration.hazards.reading.sql import Node
from shippyard.migration.hazards.scene import Found, Scene

COUNTED = frozenset({"serial", "serial4", "smallserial", "serial2"})
SMALL = frozenset({"int4", "int2"})


def small_keys(scene: Scene) -> Iterator[Found]:
    """A table whose key counts in 32 bits ends at 2,147,483,647 rows ever inserted."""
    if not scene.is_a("create_stmt") or "partbound" in scene.node:
        return
    table = relation(scene.node.get("relation"))
    keys = _key_of(scene.node)
    for column in items(scene.node, "table_elts", "column_def"):
        if [column.get("colname")] == keys and _counts_small(column):
            yield Found(
                "H56",
                "warn",
                f"{table}.{column.get('colname')} ends at 2,147,483,647; a wider type is a rewrite",
                f"{column.get('colname')} bigint GENERATED ALWAYS AS IDENTITY (sa.BigInteger)",
            )


def _key_of(node: Node) -> list[str]:
    for column in items(node, "table_elts", "column_def"):
        if constraint(column, "CONSTR_PRIMARY"):
            return [column.get("colname", "")]
    for each in items(node, "table_elts", "constraint"):
        if each.get("contype") == "CONSTR_PRIMARY":
            return words(each.get("keys"))
    return []


def _counts_small(column: Node) -> bool:
    kind = type_of(column.get("type_name"))
    return kind in COUNTED or (kind in SMALL and constraint(column, "CONSTR_IDENTITY") is not None)
