"""Owns which tables a statement locks so that writers, or everybody, must wait. H42."""

from collections.abc import Iterator

from shippyard.migration.hazards.reading.nodes import commands, dropped, relation
from shippyard.migration.hazards.reading.sql import Statement
from shippyard.migration.hazards.scene import Found, Scene

# Subcommands that hold SHARE UPDATE EXCLUSIVE or less: readers and writers go on.
LIGHT = frozenset(
    {
        "AT_AttachPartition",
        "AT_ClusterOn",
        "AT_DropCluster",
        "AT_ResetOptions",
        "AT_ResetRelOptions",
        "AT_SetOptions",
        "AT_SetRelOptions",
        "AT_SetStatistics",
        "AT_ValidateConstraint",
    }
)


def several_tables(scene: Scene) -> Iterator[Found]:
    """Two locks held together: who has one and wants the other waits, or deadlocks."""
    if not scene.in_transaction:
        return
    mine = {name for name in strongly_locked(scene.statement) if scene.in_use(name)}
    held = {
        name
        for each in scene.same_transaction()
        for name in strongly_locked(each)
        if scene.in_use(name)
    }
    if held and mine - held and len(held) == 1:
        both = sorted(held | mine)
        yield Found(
            "H42",
            "warn" if scene.way == "up" else "note",
            f"{' and '.join(both)} stay locked together until the transaction ends; code that "
            "takes them the other way round deadlocks",
            "a revision for each table",
        )


def strongly_locked(statement: Statement) -> set[str]:  # noqa: PLR0911  one for each kind
    """The tables on which it holds SHARE or more until its transaction ends."""
    node, kind = statement.node, statement.kind
    if kind == "alter_table_stmt":
        light = all(each.get("subtype") in LIGHT for each in commands(node))
        index = node.get("objtype") in {"OBJECT_INDEX", "OBJECT_SEQUENCE", "OBJECT_VIEW"}
        return set() if light or index else {relation(node.get("relation"))}
    if kind == "drop_stmt" and node.get("remove_type") == "OBJECT_TABLE":
        return set(dropped(node))
    if kind == "rename_stmt" and node.get("rename_type") in {"OBJECT_TABLE", "OBJECT_COLUMN"}:
        return {relation(node.get("relation"))}
    if kind == "index_stmt":
        return set() if node.get("concurrent") else {relation(node.get("relation"))}
    if kind in {"create_trig_stmt", "cluster_stmt", "refresh_mat_view_stmt"}:
        return {relation(node.get("relation"))}
    if kind in {"truncate_stmt", "lock_stmt"}:
        return {relation(each["range_var"]) for each in node.get("relations", ())}
    return set()
