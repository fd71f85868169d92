"""Commands that write a whole table anew, or keep everybody out of it. H51 to H54."""

from collections.abc import Iterator

from shippyard.migration.hazards.reading.nodes import items, relation
from shippyard.migration.hazards.scene import Found, Scene

STORAGE = {
    "AT_SetLogged": "SET LOGGED",
    "AT_SetUnLogged": "SET UNLOGGED",
    "AT_SetTableSpace": "SET TABLESPACE",
    "AT_SetAccessMethod": "SET ACCESS METHOD",
}
DISABLES = frozenset(
    {"AT_DisableTrig", "AT_DisableTrigAll", "AT_DisableTrigUser", "AT_DisableRule"}
)
NO_CHANGE = "there is no way beside it: in a maintenance window"


def rewriting(scene: Scene) -> Iterator[Found]:
    """VACUUM FULL, CLUSTER, and moves of a table from one storage to another."""
    name = relation(scene.node.get("relation"))
    if scene.is_a("vacuum_stmt") and _is_full(scene):
        vacuumed = items(scene.node, "rels", "vacuum_relation")
        tables = [relation(each.get("relation")) for each in vacuumed]
        yield _whole("H53", ", ".join(tables) or "every table", "VACUUM FULL")
    elif scene.is_a("cluster_stmt") and (not name or scene.in_use(name)):
        yield _whole("H53", name or "every clustered table", "CLUSTER")
    elif scene.is_a("alter_table_move_all_stmt"):
        yield _whole("H54", "every table of the tablespace", "SET TABLESPACE")
    for table, command in scene.subcommands(*STORAGE):
        yield _whole("H54", table, STORAGE[command["subtype"]])
    for table, command in scene.subcommands("AT_SetExpression"):
        yield _whole("H14", f"{table} ({command.get('name')})", "SET EXPRESSION")


def refreshing(scene: Scene) -> Iterator[Found]:
    """A refresh keeps readers out unless it is concurrent."""
    node = scene.node
    name = relation(node.get("relation"))
    if not scene.is_a("refresh_mat_view_stmt") or node.get("concurrent"):
        return
    if not node.get("skip_data") and scene.in_use(name):
        yield Found(
            "H52",
            "block",
            f"nobody reads {name} until it is built again",
            f"REFRESH MATERIALIZED VIEW CONCURRENTLY {name}, which wants a unique index on it",
        )


def triggers(scene: Scene) -> Iterator[Found]:
    """A trigger's table is locked against writers, and what it checks stops or begins."""
    node = scene.node
    name = relation(node.get("relation"))
    if scene.is_a("create_trig_stmt", "rule_stmt") and scene.in_use(name):
        yield Found(
            "H51",
            "warn",
            f"writers of {name} wait while it is made, and every write of theirs runs it from then",
            "let it be the only statement of its revision; ops.dual_write for columns in step",
        )
    for table, _ in scene.subcommands(*DISABLES):
        yield Found(
            "H51",
            "warn",
            f"writers of {table} wait; what the trigger keeps true is not kept meanwhile, and "
            "foreign keys are triggers",
            "leave it on, and write in batches: ops.backfill",
        )


def _whole(id_: str, table: str, command: str) -> Found:
    return Found(
        id_,
        "block",
        f"{command} writes {table} anew under ACCESS EXCLUSIVE: nobody reads or writes it",
        "pg_repack or pg_squeeze, outside migrations" if id_ == "H53" else NO_CHANGE,
    )


def _is_full(scene: Scene) -> bool:
    options = items(scene.node, "options", "def_elem")
    full = [each for each in options if each.get("defname") == "full"]
    return bool(full) and "false" not in str(full[0].get("arg", "")).lower()
