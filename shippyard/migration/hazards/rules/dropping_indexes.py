"""Indexes that are dropped, built again, or set while the table is in use. H07, H08, H09, H67."""

from collections.abc import Iterator

from shippyard.migration.hazards.reading.nodes import commands, dropped, items, relation
from shippyard.migration.hazards.scene import Found, Scene


def dropping_indexes(scene: Scene) -> Iterator[Found]:
    """DROP INDEX locks the table too, so that the planner of every query waits."""
    node = scene.node
    if not scene.is_a("drop_stmt") or node.get("remove_type") != "OBJECT_INDEX":
        return
    for name in dropped(node):
        index = scene.schema.indexes.get(name)
        if node.get("concurrent") or (index and not scene.in_use(index.table)):
            continue
        own = index is not None and index.made
        yield Found(
            "H07",
            "note" if own else "warn",
            "DROP INDEX holds ACCESS EXCLUSIVE on the index and its table: everybody waits",
            f"a revision with this step alone: ops.drop_index_concurrently({name!r})",
        )


def reindexing(scene: Scene) -> Iterator[Found]:
    """REINDEX stops writers, and readers that would use the index."""
    if not scene.is_a("reindex_stmt"):
        return
    concurrently = any(
        each.get("defname") == "concurrently" for each in items(scene.node, "params", "def_elem")
    )
    name = relation(scene.node.get("relation")) or scene.node.get("name", "")
    if not concurrently:
        yield Found(
            "H08",
            "block",
            "REINDEX stops writers of the table, and readers that plan with the index",
            f"outside a transaction: REINDEX INDEX CONCURRENTLY {name}",
        )
    else:
        yield Found(
            "H09",
            "note",
            "when it is interrupted an INVALID index named ..._ccnew stays",
            f"look for it afterwards, and DROP INDEX CONCURRENTLY {name}_ccnew",
        )


def setting_indexes(scene: Scene) -> Iterator[Found]:
    """ALTER INDEX SET locks the index; every query of the table plans with it."""
    if not scene.is_a("alter_table_stmt") or scene.node.get("objtype") != "OBJECT_INDEX":
        return
    kinds = {each.get("subtype") for each in commands(scene.node)}
    name = relation(scene.node.get("relation"))
    index = scene.schema.indexes.get(name)
    if index and not scene.in_use(index.table):
        return
    if kinds & {"AT_SetRelOptions", "AT_ResetRelOptions"}:
        yield Found(
            "H67",
            "warn",
            f"it locks {name}, and every query of its table reads all its indexes to plan",
            "let it be the only statement of its revision, so that it is soon over",
        )
    if "AT_SetTableSpace" in kinds:
        yield Found(
            "H54",
            "block",
            f"{name} is copied under ACCESS EXCLUSIVE",
            f"outside a transaction: REINDEX (TABLESPACE new, CONCURRENTLY) INDEX {name}",
        )
