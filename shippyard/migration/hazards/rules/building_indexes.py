"""Indexes that are built while the table is in use. H01, H05."""

from collections.abc import Iterator

from shippyard.migration.hazards.reading.nodes import relation
from shippyard.migration.hazards.scene import Found, Scene


def building_indexes(scene: Scene) -> Iterator[Found]:
    """A plain build stops writers; a concurrent unique one may fail on what is there."""
    node = scene.node
    table = relation(node.get("relation"))
    if not scene.is_a("index_stmt") or not scene.in_use(table):
        return
    name = node.get("idxname", "ix_name")
    if node.get("concurrent"):
        if node.get("unique"):
            yield _duplicates(table)
    elif node.get("relation", {}).get("inh"):  # ON ONLY touches the catalog alone
        yield Found(
            "H01",
            "block",
            f"CREATE INDEX holds SHARE on {table}: no row is written until it is built",
            f"a revision with this step alone: ops.create_index_concurrently({name!r}, "
            f"{table!r}, [...]), or op.create_index(..., postgresql_concurrently=True) inside "
            "op.get_context().autocommit_block()",
        )


def _duplicates(table: str) -> Found:
    return Found(
        "H05",
        "note",
        "rows that are not unique make the build fail and leave an INVALID index",
        f"SELECT count(*) FROM {table} GROUP BY <columns> HAVING count(*) > 1 before it",
    )
