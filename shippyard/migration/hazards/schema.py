"""Owns what is known of a schema from the statements that made it, one after the other.

What was made before the first statement that was seen is not known, and is taken to be in use.
Refuses to judge: rules do.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from shippyard.migration.hazards.reading.nodes import (
    column_of,
    columns_in,
    commands,
    constraint,
    constraint_of,
    constraints,
    dropped,
    items,
    joined,
    relation,
    type_of,
    walk,
    words,
)
from shippyard.migration.hazards.reading.sql import Node, Statement


@dataclass
class Table:
    """What is known of one table. `made` means by the plan itself."""

    made: bool = False
    partitioned: bool = False
    filled: bool = False
    columns: dict[str, str] = field(default_factory=dict)
    not_null: set[str] = field(default_factory=set)
    added: set[str] = field(default_factory=set)


@dataclass
class Check:
    """A CHECK that says columns are not null; `since` is the transaction that it is valid since."""

    columns: frozenset[str]
    valid: bool
    text: str


@dataclass
class Index:
    """An index: its table, and its plain columns in order."""

    table: str
    columns: tuple[str, ...]
    made: bool
    unique: bool = False


@dataclass
class Schema:
    """Everything known. `planning` is true while statements of the plan itself are seen."""

    planning: bool = False
    tables: dict[str, Table] = field(default_factory=dict)
    checks: dict[tuple[str, str], Check] = field(default_factory=dict)
    indexes: dict[str, Index] = field(default_factory=dict)
    views: dict[str, Node] = field(default_factory=dict)
    domains: dict[str, bool] = field(default_factory=dict)
    enums: dict[str, bool] = field(default_factory=dict)
    functions: dict[str, Statement] = field(default_factory=dict)
    made: set[str] = field(default_factory=set)
    renamed: set[str] = field(default_factory=set)
    types_after: dict[tuple[str, str], str] = field(default_factory=dict)

    def is_new(self, table: str) -> bool:
        """True for a table that the plan made: it is empty, and nobody reads it yet."""
        known = self.tables.get(table)
        return table.startswith("pg_temp.") or table in self.made or bool(known and known.made)

    def is_partitioned(self, table: str) -> bool:
        """True when it is known to have partitions."""
        known = self.tables.get(table)
        return known is not None and known.partitioned

    def table(self, name: str) -> Table:
        """What is known of a table, which need not be much."""
        return self.tables.setdefault(name, Table())

    def type_of(self, table: str, column: str) -> str:
        """A column's type; "" when it is not known."""
        known = self.tables.get(table)
        return known.columns.get(column, "") if known else ""

    def says_not_null(self, table: str, column: str) -> bool:
        """True when a valid CHECK says that a column is not null: then nothing is scanned."""
        return any(
            check.valid and column in check.columns
            for (of, _), check in self.checks.items()
            if of == table
        )

    def indexes_of(self, table: str) -> list[Index]:
        """The indexes that are known of a table."""
        return [index for index in self.indexes.values() if index.table == table]

    def settle(self) -> None:
        """What was made is in use from now on."""
        for table in self.tables.values():
            table.made = False
            table.added.clear()
        for index in self.indexes.values():
            index.made = False
        self.enums = dict.fromkeys(self.enums, False)
        self.made.clear()
        self.renamed.clear()

    def apply(self, statement: Statement) -> None:
        """Take a statement into account."""
        learn = LEARN.get(statement.kind)
        if learn:
            learn(self, statement)


def _create_table(schema: Schema, statement: Statement) -> None:
    node = statement.node
    name = relation(node.get("relation"))
    if node.get("if_not_exists") and name in schema.tables:
        return
    table = Table(schema.planning, partitioned="partspec" in node)
    temporary = node.get("relation", {}).get("relpersistence") == "t"
    table.made = table.made or temporary
    schema.tables[name] = table
    for column in items(node, "table_elts", "column_def"):
        _learn_column(schema, name, column)
    for each in items(node, "table_elts", "constraint"):
        _learn_constraint(schema, name, each)
    table.added.clear()


def _create_as(schema: Schema, statement: Statement) -> None:
    name = relation(statement.node.get("into", {}).get("rel"))
    if statement.node.get("objtype") == "OBJECT_MATVIEW":
        schema.views[name] = statement.node
        schema.tables[name] = Table(schema.planning)
    else:
        schema.tables[name] = Table(schema.planning, filled=True)


def _learn_column(schema: Schema, table: str, column: Node) -> None:
    known, name = schema.table(table), column.get("colname", "")
    known.columns[name] = type_of(column.get("type_name"))
    if schema.planning:
        known.added.add(name)
    if constraint(column, "CONSTR_NOTNULL"):
        known.not_null.add(name)
    for each in constraints(column):
        kind = each.get("contype")
        if kind in {"CONSTR_PRIMARY", "CONSTR_UNIQUE"}:
            _learn_key(schema, table, each, (name,))
        elif kind == "CONSTR_CHECK":
            _learn_check(schema, table, each)


def _learn_constraint(schema: Schema, table: str, node: Node) -> None:
    kind = node.get("contype")
    if kind in {"CONSTR_PRIMARY", "CONSTR_UNIQUE"}:
        _learn_key(schema, table, node, tuple(words(node.get("keys"))))
    elif kind == "CONSTR_CHECK":
        _learn_check(schema, table, node)
    elif kind == "CONSTR_NOTNULL":
        columns = frozenset(words(node.get("keys")))
        valid = not node.get("skip_validation")
        schema.checks[table, node.get("conname", "")] = Check(columns, valid, "")


def _learn_key(schema: Schema, table: str, node: Node, columns: tuple[str, ...]) -> None:
    if node.get("contype") == "CONSTR_PRIMARY":
        schema.table(table).not_null.update(columns)
    name = node.get("conname") or f"{table}_{'_'.join(columns)}_key"
    schema.indexes.setdefault(name, Index(table, columns, schema.planning, unique=True))


def _learn_check(schema: Schema, table: str, node: Node) -> None:
    columns = frozenset(_never_null(node.get("raw_expr", {})))
    check = Check(columns, not node.get("skip_validation"), str(node.get("raw_expr")))
    schema.checks[table, node.get("conname", "")] = check


def _never_null(node: Node) -> Iterator[str]:
    """Columns of which an expression says that they are not null."""
    test, both = node.get("null_test"), node.get("bool_expr")
    if test and test.get("nulltesttype") == "IS_NOT_NULL":
        yield from columns_in(test.get("arg"))
    elif both and both.get("boolop") == "AND_EXPR":
        for each in both.get("args", ()):
            yield from _never_null(each)


def _alter_table(schema: Schema, statement: Statement) -> None:
    table = relation(statement.node.get("relation"))
    for command in commands(statement.node):
        learn = SUBCOMMANDS.get(command.get("subtype", ""))
        if learn:
            learn(schema, table, command)


def _add_column(schema: Schema, table: str, command: Node) -> None:
    _learn_column(schema, table, column_of(command))


def _drop_column(schema: Schema, table: str, command: Node) -> None:
    schema.table(table).columns.pop(command.get("name", ""), None)


def _alter_type(schema: Schema, table: str, command: Node) -> None:
    kind = type_of(column_of(command).get("type_name"))
    schema.table(table).columns[command.get("name", "")] = kind


def _set_not_null(schema: Schema, table: str, command: Node) -> None:
    schema.table(table).not_null.add(command.get("name", ""))


def _drop_not_null(schema: Schema, table: str, command: Node) -> None:
    schema.table(table).not_null.discard(command.get("name", ""))


def _add_constraint(schema: Schema, table: str, command: Node) -> None:
    _learn_constraint(schema, table, constraint_of(command))


def _validate(schema: Schema, table: str, command: Node) -> None:
    check = schema.checks.get((table, command.get("name", "")))
    if check:
        check.valid = True


def _drop_constraint(schema: Schema, table: str, command: Node) -> None:
    schema.checks.pop((table, command.get("name", "")), None)
    schema.indexes.pop(command.get("name", ""), None)


SUBCOMMANDS = {
    "AT_AddColumn": _add_column,
    "AT_DropColumn": _drop_column,
    "AT_AlterColumnType": _alter_type,
    "AT_SetNotNull": _set_not_null,
    "AT_DropNotNull": _drop_not_null,
    "AT_AddConstraint": _add_constraint,
    "AT_ValidateConstraint": _validate,
    "AT_DropConstraint": _drop_constraint,
}


def _create_index(schema: Schema, statement: Statement) -> None:
    node = statement.node
    table = relation(node.get("relation"))
    columns = tuple(each.get("name", "") for each in items(node, "index_params", "index_elem"))
    name = node.get("idxname") or f"{table}_{'_'.join(columns)}_idx"
    schema.indexes[name] = Index(table, columns, schema.planning, bool(node.get("unique")))


def _rename(schema: Schema, statement: Statement) -> None:
    node, new = statement.node, statement.node.get("newname", "")
    old = relation(node.get("relation"))
    if schema.planning:
        column = node.get("rename_type") == "OBJECT_COLUMN"
        schema.renamed.add(f"{old}.{new}" if column else new)
    if node.get("rename_type") == "OBJECT_TABLE" and old in schema.tables:
        schema.tables[new] = schema.tables.pop(old)
    elif node.get("rename_type") == "OBJECT_COLUMN" and old in schema.tables:
        columns = schema.tables[old].columns
        columns[new] = columns.pop(node.get("subname", ""), "")


def _drop(schema: Schema, statement: Statement) -> None:
    for name in dropped(statement.node):
        schema.made.discard(name)
        for known in (schema.tables, schema.views, schema.indexes, schema.domains, schema.enums):
            known.pop(name, None)


def _create_view(schema: Schema, statement: Statement) -> None:
    name = relation(statement.node.get("view"))
    schema.views[name] = statement.node
    if schema.planning and not statement.node.get("replace"):
        schema.made.add(name)


def _create_domain(schema: Schema, statement: Statement) -> None:
    name = joined(words(statement.node.get("domainname")))
    kinds = {each.get("contype") for each in items(statement.node, "constraints", "constraint")}
    schema.domains[name] = bool(kinds & {"CONSTR_CHECK", "CONSTR_NOTNULL"})


def _create_enum(schema: Schema, statement: Statement) -> None:
    schema.enums[joined(words(statement.node.get("type_name")))] = schema.planning


def _create_function(schema: Schema, statement: Statement) -> None:
    name = joined(words(statement.node.get("funcname")))
    schema.functions[name] = statement
    if schema.planning and not statement.node.get("replace"):
        schema.made.add(name)


def _insert(schema: Schema, statement: Statement) -> None:
    schema.table(relation(statement.node.get("relation"))).filled = True


LEARN = {
    "alter_table_stmt": _alter_table,
    "create_domain_stmt": _create_domain,
    "create_enum_stmt": _create_enum,
    "create_function_stmt": _create_function,
    "create_stmt": _create_table,
    "create_table_as_stmt": _create_as,
    "drop_stmt": _drop,
    "index_stmt": _create_index,
    "insert_stmt": _insert,
    "rename_stmt": _rename,
    "view_stmt": _create_view,
}


def views_that_read(schema: Schema, table: str, column: str) -> list[str]:
    """Views that read a column, or all columns, of a table."""
    return [name for name, node in schema.views.items() if _reads(node, table, column)]


def _reads(node: Node, table: str, column: str) -> bool:
    tables = {relation(each) for kind, each in walk(node) if kind in {"range_var", "relation"}}
    stars = any(kind == "a_star" for kind, _ in walk(node))
    return table in tables and (stars or column in columns_in(node))
