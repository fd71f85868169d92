"""Names that running code uses, and that change under it. H30, H31, H47."""

from collections.abc import Iterator

from shippyard.migration.hazards.reading.nodes import dropped, joined, relation, words
from shippyard.migration.hazards.scene import Found, Scene

COLUMNS = frozenset({"OBJECT_COLUMN", "OBJECT_ATTRIBUTE"})
TABLES = frozenset({"OBJECT_TABLE", "OBJECT_FOREIGN_TABLE"})
USED = {
    "OBJECT_VIEW": "view",
    "OBJECT_MATVIEW": "materialized view",
    "OBJECT_SEQUENCE": "sequence",
    "OBJECT_FUNCTION": "function",
    "OBJECT_PROCEDURE": "procedure",
    "OBJECT_ROUTINE": "routine",
    "OBJECT_SCHEMA": "schema",
}


def renaming_columns(scene: Scene) -> Iterator[Found]:
    """Code of before has the old name, code of after the new one, and both run at once."""
    node = scene.node
    table = relation(node.get("relation"))
    if scene.is_a("rename_stmt") and node.get("rename_type") in COLUMNS and scene.in_use(table):
        old, new = node.get("subname", ""), node.get("newname", "")
        if old in scene.schema.table(table).added:
            return
        if _goes_back(scene, f"{table}.{old}"):
            return
        yield Found(
            "H30",
            "block",
            f"running code that names {table}.{old} fails at once, and code of before the deploy "
            f"does not know {new}",
            f"op.add_column({table!r}, sa.Column({new!r}, ...)); ops.dual_write({table!r}, "
            f"{old!r}, {new!r}); ops.backfill; deploy code that uses {new}; drop {old} later",
        )


def renaming_tables(scene: Scene) -> Iterator[Found]:
    """The same for tables and what else code names; a view of the old name keeps it working."""
    node = scene.node
    if scene.is_a("rename_stmt"):
        kind, new = node.get("rename_type", ""), node.get("newname", "")
    elif scene.is_a("alter_object_schema_stmt"):
        kind, new = node.get("object_type", ""), f"{node.get('newschema', '')}.<name>"
    else:
        return
    old = relation(node.get("relation")) or node.get("subname", "") or _object(scene)
    if not scene.in_use(old) or _goes_back(scene, old):
        return
    if kind in TABLES:
        yield _table(scene, old, new)
    elif kind in USED:
        level = "block" if kind in {"OBJECT_VIEW", "OBJECT_SCHEMA"} else "warn"
        yield Found(
            "H31",
            "block" if level == "block" else "warn",
            f"running code that names the {USED[kind]} {old} fails at once",
            f"make {new} beside {old}, deploy code that uses it, and drop {old} later",
        )


def renaming_types(scene: Scene) -> Iterator[Found]:
    """A value or a type that running code writes has another name from now on."""
    node = scene.node
    if scene.is_a("alter_enum_stmt") and node.get("old_val"):
        name = joined(words(node.get("type_name")))
        if not scene.schema.enums.get(name):
            old, new = node.get("old_val"), node.get("new_val")
            yield _value(name, str(old), str(new))
    elif scene.is_a("rename_stmt") and node.get("rename_type") in {"OBJECT_TYPE", "OBJECT_DOMAIN"}:
        name = _object(scene)
        if not scene.schema.enums.get(name):
            yield Found(
                "H47",
                "warn",
                f"running code that casts to {name}, or prepared it, fails at once",
                f"leave {name}, and make a new type beside it for a new column",
            )


def dropping_types(scene: Scene) -> Iterator[Found]:
    """A type that is dropped is one that code may cast to."""
    if not scene.is_a("drop_stmt"):
        return
    if scene.node.get("remove_type") in {"OBJECT_TYPE", "OBJECT_DOMAIN"}:
        for name in dropped(scene.node):
            if not scene.schema.enums.get(name):
                yield Found(
                    "H47",
                    "warn",
                    f"running code that casts to {name} fails; columns of it make the drop fail",
                    f"drop {name} one release after the last code that names it",
                )


def _object(scene: Scene) -> str:
    found = scene.node.get("object", {})
    names = found.get("list", {}).get("items") or found.get("object_with_args", {}).get("objname")
    return joined(words(names)) if names else joined(words([found]))


def _goes_back(scene: Scene, name: str) -> bool:
    """True on the way back of a name that the plan itself has given."""
    return scene.way == "down" and name in scene.schema.renamed


def _table(scene: Scene, old: str, new: str) -> Found:
    keeps = any(
        each.kind == "view_stmt" and relation(each.node.get("view")) == old
        for each in scene.rest_of_transaction()
    )
    if keeps:
        return Found(
            "H31",
            "note",
            f"a view goes on being called {old}: running code reads and writes through it",
            f"drop the view one release after the last code that names {old}",
        )
    return Found(
        "H31",
        "block",
        f"running code that names {old} fails at once",
        f"in the same transaction: CREATE VIEW {old} AS SELECT * FROM {new}; drop it later",
    )


def _value(name: str, old: str, new: str) -> Found:
    return Found(
        "H47",
        "block",
        f"running code that writes or compares {old!r} fails at once",
        f"ALTER TYPE {name} ADD VALUE {new!r} in its own revision, deploy code that knows both, "
        "ops.backfill",
    )
