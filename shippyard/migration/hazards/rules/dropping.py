"""What is dropped with its data, or under running code. H32, H33, H34, H35."""

from collections.abc import Iterator

from shippyard.migration.hazards.reading.nodes import commands, dropped, relation
from shippyard.migration.hazards.scene import Found, Scene

GONE = {
    "OBJECT_TABLE": "table",
    "OBJECT_VIEW": "view",
    "OBJECT_MATVIEW": "materialized view",
    "OBJECT_FOREIGN_TABLE": "foreign table",
    "OBJECT_SEQUENCE": "sequence",
    "OBJECT_SCHEMA": "schema",
    "OBJECT_FUNCTION": "function",
    "OBJECT_PROCEDURE": "procedure",
    "OBJECT_ROUTINE": "routine",
    "OBJECT_EXTENSION": "extension",
}
WITH_DATA = frozenset({"OBJECT_TABLE", "OBJECT_SCHEMA", "OBJECT_FOREIGN_TABLE"})


def dropping_columns(scene: Scene) -> Iterator[Found]:
    """A column's values are gone, and code that names it fails."""
    for table, command in scene.subcommands("AT_DropColumn"):
        name = command.get("name", "")
        if name in scene.schema.table(table).added:
            continue
        yield Found(
            "H32",
            "warn",
            f"running code that names {table}.{name} fails, SELECT * of an ORM too; its values "
            "are gone, and a downgrade does not bring them back",
            f"deploy code that does not name {name} first; a backup before; then "
            f"# shippyard: allow H32 because <which release stopped using {name}>",
        )


def dropping_tables(scene: Scene) -> Iterator[Found]:
    """A table goes with its rows; what its keys point at is locked meanwhile."""
    node, kind = scene.node, scene.node.get("remove_type", "")
    if not scene.is_a("drop_stmt") or kind not in GONE:
        return
    for name in dropped(node):
        if not scene.in_use(name) or _made_again(scene, name):
            continue
        own = kind not in WITH_DATA | {"OBJECT_VIEW"}
        yield Found(
            "H33",
            "note" if own else "warn",
            _why(GONE[kind], name, with_data=kind in WITH_DATA),
            f"deploy code that does not name {name} first; drop its foreign keys in a revision "
            "before; a backup, because a downgrade makes it again without rows",
        )


def cascading(scene: Scene) -> Iterator[Found]:
    """CASCADE drops what nobody has listed."""
    what = _cascades(scene)
    if what:
        yield Found(
            "H34",
            "block",
            f"CASCADE drops everything that depends on {what}: views, keys, columns, unseen",
            "drop each by name, and leave CASCADE out: then it fails on what was forgotten",
        )


def emptying(scene: Scene) -> Iterator[Found]:
    """TRUNCATE locks everybody out and takes the rows."""
    if not scene.is_a("truncate_stmt"):
        return
    tables = [relation(each["range_var"]) for each in scene.node.get("relations", ())]
    used = [table for table in tables if scene.in_use(table)]
    if used:
        yield Found(
            "H35",
            "block",
            f"ACCESS EXCLUSIVE on {', '.join(used)} until the transaction ends; the rows are gone",
            f"DELETE FROM {used[0]} in batches, or drop partitions",
        )


def _why(kind: str, name: str, *, with_data: bool) -> str:
    tail = "; its rows are gone, and tables that its keys point at are locked" if with_data else ""
    return f"running code that names the {kind} {name} fails{tail}"


def _made_again(scene: Scene, name: str) -> bool:
    """True when the same transaction puts something else under that name."""
    kinds = {"view_stmt": "view", "create_stmt": "relation"}
    return any(
        relation(each.node.get(kinds[each.kind])) == name
        for each in scene.rest_of_transaction()
        if each.kind in kinds
    ) or any(
        each.kind == "create_function_stmt" and name in each.text
        for each in scene.rest_of_transaction()
    )


def _cascades(scene: Scene) -> str:
    node = scene.node
    if node.get("behavior") == "DROP_CASCADE":
        if scene.is_a("drop_stmt"):
            known = [name for name in dropped(node) if scene.in_use(name)]
            return ", ".join(known)
        if scene.is_a("drop_owned_stmt"):
            return "a role's objects"
        if scene.is_a("truncate_stmt"):
            tables = [relation(each["range_var"]) for each in node.get("relations", ())]
            return ", ".join(filter(scene.in_use, tables))
    if scene.is_a("alter_table_stmt") and scene.in_use(relation(node.get("relation"))):
        cut = [each for each in commands(node) if each.get("behavior") == "DROP_CASCADE"]
        return ", ".join(each.get("name", "") for each in cut)
    return ""
