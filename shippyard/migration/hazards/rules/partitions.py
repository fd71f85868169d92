"""Partitions that come and go while the table is in use. H48, H49, H50."""

from collections.abc import Iterator

from shippyard.migration.hazards.reading.nodes import items, relation
from shippyard.migration.hazards.scene import Found, Scene


def attaching(scene: Scene) -> Iterator[Found]:
    """Without a CHECK that says the same as the bounds, every row is read."""
    for parent, command in scene.subcommands("AT_AttachPartition"):
        child = relation(command.get("def", {}).get("partition_cmd", {}).get("name"))
        if not scene.in_use(child) or _has_check(scene, child):
            continue
        yield Found(
            "H48",
            "warn",
            f"every row of {child} is read under ACCESS EXCLUSIVE unless a CHECK says its bounds",
            f"ops.add_check('ck_{child}_bounds', {child!r}, '<column> >= ... AND <column> < ...') "
            f"in a revision before; drop it after ALTER TABLE {parent} ATTACH PARTITION",
        )


def creating_partitions(scene: Scene) -> Iterator[Found]:
    """PARTITION OF locks the whole table, for a moment that waits for every reader."""
    if not scene.is_a("create_stmt") or "partbound" not in scene.node:
        return
    child = relation(scene.node.get("relation"))
    for parent in map(relation, items(scene.node, "inh_relations", "range_var")):
        if scene.in_use(parent):
            yield Found(
                "H49",
                "warn",
                f"ACCESS EXCLUSIVE on {parent}: everybody waits for it, and it for everybody",
                f"CREATE TABLE {child} (LIKE {parent} INCLUDING ALL); ALTER TABLE {parent} ATTACH "
                f"PARTITION {child} FOR VALUES ..., which lets readers and writers go on",
            )


def detaching(scene: Scene) -> Iterator[Found]:
    """DETACH locks the whole table unless it is concurrent."""
    for parent, command in scene.subcommands("AT_DetachPartition"):
        partition = command.get("def", {}).get("partition_cmd", {})
        if not partition.get("concurrent"):
            child = relation(partition.get("name"))
            yield Found(
                "H50",
                "warn",
                f"ACCESS EXCLUSIVE on {parent} and {child}: everybody waits for it",
                f"outside a transaction: ALTER TABLE {parent} DETACH PARTITION {child} "
                "CONCURRENTLY",
            )


def _has_check(scene: Scene, table: str) -> bool:
    """A valid CHECK that compares something: whether it says the bounds, the rehearsal tells."""
    return any(
        of == table and check.valid and "a_expr" in check.text
        for (of, _), check in scene.schema.checks.items()
    )
