"""Constraints that look at every row while the table is locked. H20, H22 to H29."""

from collections.abc import Iterator

from shippyard.migration.hazards.reading.nodes import (
    column_of,
    commands,
    constraint,
    constraint_of,
    constraints,
    joined,
    relation,
    words,
)
from shippyard.migration.hazards.reading.sql import Node, Statement
from shippyard.migration.hazards.scene import Found, Scene


def setting_not_null(scene: Scene) -> Iterator[Found]:
    """SET NOT NULL reads every row, unless a valid CHECK has said it already."""
    for table, command in scene.subcommands("AT_SetNotNull"):
        name = command.get("name", "")
        known = scene.schema.table(table)
        if not scene.schema.says_not_null(table, name) and name not in known.not_null:
            yield _not_null(table, name)
    for table, command in scene.subcommands("AT_AddConstraint"):
        node = constraint_of(command)
        if node.get("contype") == "CONSTR_NOTNULL" and not node.get("skip_validation"):
            yield _not_null(table, ", ".join(words(node.get("keys"))))


def adding_constraints(scene: Scene) -> Iterator[Found]:
    """Each kind of constraint has its own way of looking at the rows."""
    for table, command in scene.subcommands("AT_AddConstraint"):
        node = constraint_of(command)
        look = KINDS.get(node.get("contype", ""))
        if look:
            yield from look(scene, table, node)
    for table, command in scene.subcommands("AT_AddColumn"):
        column = column_of(command)
        for node in constraints(column):
            yield from _with_column(scene, table, column, node)


def validating(scene: Scene) -> Iterator[Found]:
    """VALIDATE in the transaction that added the constraint scans under that one's lock."""
    for table, command in scene.subcommands("AT_ValidateConstraint"):
        name = command.get("name", "")
        locked = [each for each in scene.same_transaction() if _locks(each, table)]
        beside = any(each.get("subtype") == "AT_AddConstraint" for each in commands(scene.node))
        if locked or beside:
            yield Found(
                "H23",
                "block",
                f"{table} stays locked by what the transaction did before while {name} is "
                "looked at in every row",
                f"a revision of its own for ALTER TABLE {table} VALIDATE CONSTRAINT {name}; "
                "ops.add_check and ops.add_foreign_key do both, each in its transaction",
            )


def constraining_domains(scene: Scene) -> Iterator[Found]:
    """A domain's constraint is looked at in every table that uses it, all locked at once."""
    node = scene.node
    if not scene.is_a("alter_domain_stmt") or node.get("subtype") not in {"C", "O"}:
        return
    name = joined(words(node.get("type_name")))
    if node.get("def", {}).get("constraint", {}).get("skip_validation"):
        return
    yield Found(
        "H25" if node.get("subtype") == "C" else "H20",
        "block",
        f"every row of every table with a column of {name} is read under SHARE: nobody writes",
        f"ALTER DOMAIN {name} ADD CONSTRAINT ... CHECK (...) NOT VALID; in a revision after it: "
        f"ALTER DOMAIN {name} VALIDATE CONSTRAINT ...",
    )


def _locks(statement: Statement, table: str) -> bool:
    """True when a statement holds a lock on the table that stops writers."""
    if statement.kind == "alter_table_stmt":
        kinds = {each.get("subtype") for each in commands(statement.node)}
        here = table == relation(statement.node.get("relation"))
        return here and kinds != {"AT_ValidateConstraint"}
    return False


def _not_null(table: str, name: str) -> Found:
    return Found(
        "H20",
        "block",
        f"every row of {table} is read under ACCESS EXCLUSIVE: nobody reads or writes meanwhile",
        f"a revision with this step alone: ops.add_not_null({table!r}, {name!r}). By hand: CHECK "
        f"({name} IS NOT NULL) NOT VALID; VALIDATE in the next revision; SET NOT NULL after it",
    )


def _foreign_key(scene: Scene, table: str, node: Node) -> Iterator[Found]:
    columns, other = words(node.get("fk_attrs")), relation(node.get("pktable"))
    if not node.get("skip_validation"):
        yield Found(
            "H22",
            "block",
            f"{table} and {other} are locked against writers while every row is compared",
            f"a revision with this step alone: ops.add_foreign_key("
            f"{node.get('conname') or f'fk_{table}'!r}, {table!r}, {columns}, {other!r}, [...]). "
            "By hand: NOT VALID, and VALIDATE CONSTRAINT in the next revision",
        )
    if columns and not _has_index(scene, table, columns):
        yield Found(
            "H24",
            "note",
            f"no index of {table} is known to begin with {', '.join(columns)}: each delete in "
            f"{other} reads the whole table",
            f"before it: ops.create_index_concurrently('ix_{table}_{columns[0]}', {table!r}, "
            f"{columns})",
        )


def _has_index(scene: Scene, table: str, columns: list[str]) -> bool:
    wanted = len(columns)
    return any(
        set(index.columns[:wanted]) == set(columns) for index in scene.schema.indexes_of(table)
    )


def _check(scene: Scene, table: str, node: Node) -> Iterator[Found]:
    del scene
    if not node.get("skip_validation"):
        name = node.get("conname") or f"ck_{table}"
        yield Found(
            "H25",
            "block",
            f"every row of {table} is read under ACCESS EXCLUSIVE; it fails on one that breaks it",
            f"a revision with this step alone: ops.add_check({name!r}, {table!r}, '...'). By hand: "
            "NOT VALID, and VALIDATE CONSTRAINT in the next revision",
        )


def _unique(scene: Scene, table: str, node: Node) -> Iterator[Found]:
    del scene
    if not node.get("indexname"):
        name = node.get("conname") or f"uq_{table}"
        yield Found(
            "H27",
            "block",
            f"the index is built under ACCESS EXCLUSIVE: nobody reads or writes {table} meanwhile",
            f"a revision with this step alone: ops.add_unique({name!r}, {table!r}, "
            f"{words(node.get('keys'))})",
        )


def _primary(scene: Scene, table: str, node: Node) -> Iterator[Found]:
    del scene
    if not node.get("indexname"):
        yield Found(
            "H28",
            "block",
            f"the index is built, and every row read for nulls, under ACCESS EXCLUSIVE on {table}",
            f"ops.add_not_null for each column; CREATE UNIQUE INDEX CONCURRENTLY pk_{table}; "
            f"ALTER TABLE {table} ADD CONSTRAINT pk_{table} PRIMARY KEY USING INDEX pk_{table}",
        )


def _exclusion(scene: Scene, table: str, node: Node) -> Iterator[Found]:
    del scene, node
    yield Found(
        "H29",
        "block",
        f"the index is built under ACCESS EXCLUSIVE: nobody reads or writes {table} meanwhile",
        "there is no way beside it: in a maintenance window, or on a new table that takes over",
    )


def _with_column(scene: Scene, table: str, column: Node, node: Node) -> Iterator[Found]:
    """A constraint written with a new column: a key without a default has nothing to compare."""
    kind = node.get("contype", "")
    if kind == "CONSTR_FOREIGN" and not constraint(column, "CONSTR_DEFAULT"):
        return
    if kind == "CONSTR_FOREIGN":
        node = {**node, "fk_attrs": [{"string": {"sval": column.get("colname", "")}}]}
    elif kind in {"CONSTR_UNIQUE", "CONSTR_PRIMARY"}:
        node = {**node, "keys": [{"string": {"sval": column.get("colname", "")}}]}
    look = KINDS.get(kind)
    if look:
        yield from look(scene, table, node)


KINDS = {
    "CONSTR_FOREIGN": _foreign_key,
    "CONSTR_CHECK": _check,
    "CONSTR_UNIQUE": _unique,
    "CONSTR_PRIMARY": _primary,
    "CONSTR_EXCLUSION": _exclusion,
}
