"""Commands that can't be, or should not be, where they stand. H02, H03, H04."""

from collections.abc import Iterator

from shippyard.migration.hazards.reading.nodes import (
    commands,
    dropped,
    items,
    relation,
)
from shippyard.migration.hazards.reading.sql import Node, Statement
from shippyard.migration.hazards.rules.settings import timeout_set
from shippyard.migration.hazards.scene import Found, Scene

ALONE = {
    "alter_system_stmt": "ALTER SYSTEM",
    "create_table_space_stmt": "CREATE TABLESPACE",
    "createdb_stmt": "CREATE DATABASE",
    "drop_table_space_stmt": "DROP TABLESPACE",
    "dropdb_stmt": "DROP DATABASE",
}
BLOCK = "with op.get_context().autocommit_block():"


def in_a_transaction(scene: Scene) -> Iterator[Found]:
    """CONCURRENTLY, VACUUM and their like fail inside a transaction."""
    word = _must_be_alone(scene.statement)
    if word and (scene.in_transaction or scene.statement.by.startswith("do")):
        yield Found(
            "H02",
            "block",
            f"{word} cannot run inside a transaction block: it fails (25001)",
            f"{BLOCK} around it, alone in its revision",
        )


def on_a_partitioned_table(scene: Scene) -> Iterator[Found]:
    """A partitioned table's index is not built concurrently."""
    table = relation(scene.node.get("relation"))
    concurrently = scene.is_a("index_stmt") and scene.node.get("concurrent")
    if concurrently and scene.schema.is_partitioned(table):
        yield Found(
            "H02",
            "block",
            f"{table} is partitioned: CREATE INDEX CONCURRENTLY fails on it (0A000)",
            f"CREATE INDEX ... ON ONLY {table}; then one CONCURRENTLY for each partition, and "
            "ALTER INDEX ... ATTACH PARTITION",
        )


def under_a_timeout(scene: Scene) -> Iterator[Found]:
    """A concurrent build waits for old snapshots, on any table; giving up leaves it INVALID."""
    if not (scene.is_a("index_stmt") and scene.node.get("concurrent")):
        return
    values = [value for each in scene.before if (value := timeout_set(each))]
    if values and values[-1] != "0":
        yield Found(
            "H03",
            "warn",
            f"with lock_timeout {values[-1]} one old snapshot on any table leaves an INVALID index",
            "ops.create_index_concurrently sets lock_timeout to 0 for the build alone",
        )


def if_not_exists(scene: Scene) -> Iterator[Found]:
    """What an interrupted build left counts as existing."""
    node = scene.node
    if scene.is_a("index_stmt") and node.get("concurrent") and node.get("if_not_exists"):
        if _dropped_before(scene, node.get("idxname", "")):
            return
        yield Found(
            "H04",
            "warn",
            "after an interrupted build it finds the INVALID index and reports success",
            f"ops.create_index_concurrently({node.get('idxname')!r}, ...) looks and builds again; "
            f"or DROP INDEX CONCURRENTLY IF EXISTS {node.get('idxname')} before it",
        )


def _dropped_before(scene: Scene, name: str) -> bool:
    return any(
        each.kind == "drop_stmt"
        and each.node.get("remove_type") == "OBJECT_INDEX"
        and name in dropped(each.node)
        for each in scene.before
    )


def _must_be_alone(statement: Statement) -> str:
    kind, node = statement.kind, statement.node
    if kind == "index_stmt" and node.get("concurrent"):
        return "CREATE INDEX CONCURRENTLY"
    if kind == "drop_stmt" and node.get("concurrent"):
        return "DROP INDEX CONCURRENTLY"
    if kind == "reindex_stmt":
        return _reindex(node)
    if kind == "vacuum_stmt" and node.get("is_vacuumcmd"):
        return "VACUUM"
    if kind == "alter_table_stmt" and any(map(_detaches_concurrently, commands(node))):
        return "DETACH PARTITION CONCURRENTLY"
    return ALONE.get(kind, "")


def _reindex(node: Node) -> str:
    names = {each.get("defname") for each in items(node, "params", "def_elem")}
    whole = node.get("kind") in {"REINDEX_OBJECT_SYSTEM", "REINDEX_OBJECT_DATABASE"}
    if "concurrently" in names:
        return "REINDEX CONCURRENTLY"
    return "REINDEX of a database" if whole else ""


def _detaches_concurrently(command: Node) -> bool:
    return bool(command.get("def", {}).get("partition_cmd", {}).get("concurrent"))
