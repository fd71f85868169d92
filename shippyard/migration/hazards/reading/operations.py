"""Owns what Alembic's operations, written in a revision, become as SQL.

For revisions whose SQL can't be rendered, for those that ran long ago, and to find the line that a
rendered statement comes from. A word stands for what can't be known.
"""

import ast
import re
from collections.abc import Callable, Iterator
from typing import Any

from shippyard.migration.hazards.reading.types import (
    column_sql,
    default_sql,
    keyword,
    quoted,
    type_sql,
)
from shippyard.migration.hazards.reading.values import UNKNOWN, UNKNOWN_WORD, Names, value_of

# A value that is given when it is sent: SQLAlchemy's, and the driver's.
PARAMETER = re.compile(r"(?<![:\w\\]):\w+(?!:)|%\(\w+\)s|%s\b")


class Arguments:
    """The arguments of one call. `table` is what a batch has already said."""

    def __init__(self, call: ast.Call, names: Names, table: str | None = None) -> None:
        self.call = call
        self.names = names
        self._batch = table

    def node(self, at: int, name: str) -> ast.expr | None:
        """An argument by place or by name."""
        args = self.call.args
        return args[at] if at < len(args) else keyword(self.call, name)

    def get(self, at: int, name: str) -> Any:
        """Its value."""
        return value_of(self.node(at, name), self.names)

    def option(self, name: str) -> Any:
        """The value of a keyword."""
        return value_of(keyword(self.call, name), self.names)

    def name(self, at: int, name: str) -> str:
        """A name as SQL has it."""
        found = self.get(at, name)
        return quoted(found if isinstance(found, str) else UNKNOWN_WORD)

    def table(self, at: int, name: str = "table_name") -> str:
        """The table, in its schema."""
        found = self._batch or self.get(at, name)
        schema = self.option("schema") or self.option("source_schema")
        table = found if isinstance(found, str) else UNKNOWN_WORD
        return quoted(f"{schema}.{table}" if isinstance(schema, str) else table)

    def shift(self, at: int) -> int:
        """Where an argument stands: a batch leaves the table out."""
        return at - 1 if self._batch else at

    def columns(self, at: int, name: str) -> str:
        """A list of columns or expressions."""
        found = self.get(at, name)
        each = found if isinstance(found, list) else [found]
        return ", ".join(_key(one) for one in each)


def _key(value: Any) -> str:
    if not isinstance(value, str):
        return UNKNOWN_WORD
    return quoted(value) if value.replace("_", "a").isalnum() else f"({value})"


def sql_of(verb: str, given: Arguments) -> Iterator[str]:
    """The statements that an operation becomes; none for one that is not known."""
    write = VERBS.get(verb)
    if write:
        yield from write(given)


def _add_column(given: Arguments) -> Iterator[str]:
    table, column = given.table(0), given.node(given.shift(1), "column")
    if isinstance(column, ast.Call):
        yield f"ALTER TABLE {table} ADD COLUMN {column_sql(column, given.names)}"
        if value_of(keyword(column, "index"), given.names) is True:
            yield f"CREATE INDEX ON {table} ({column_sql(column, given.names).split()[0]})"


def _drop_column(given: Arguments) -> Iterator[str]:
    yield f"ALTER TABLE {given.table(0)} DROP COLUMN {given.name(given.shift(1), 'column_name')}"


def _alter_column(given: Arguments) -> Iterator[str]:
    begin = f"ALTER TABLE {given.table(0)} "
    column = given.name(given.shift(1), "column_name")
    kind, nullable = keyword(given.call, "type_"), given.option("nullable")
    if nullable in (True, False):
        yield f"{begin}ALTER COLUMN {column} {'DROP' if nullable else 'SET'} NOT NULL"
    if kind is not None:
        using = given.option("postgresql_using")
        tail = f" USING {using}" if isinstance(using, str) else ""
        yield f"{_was(given)}{begin}ALTER COLUMN {column} TYPE {type_sql(kind, given.names)}{tail}"
    default = keyword(given.call, "server_default")
    if default is not None and given.option("server_default") is not False:
        said = default_sql(default, given.names)
        gone = given.option("server_default") is None
        yield f"{begin}ALTER COLUMN {column} {'DROP DEFAULT' if gone else f'SET DEFAULT {said}'}"
    renamed = given.option("new_column_name")
    if isinstance(renamed, str):
        yield f"{begin}RENAME COLUMN {column} TO {quoted(renamed)}"


def _was(given: Arguments) -> str:
    """What the author says that the type was, as a comment before the statement."""
    before = keyword(given.call, "existing_type")
    return f"/* was {type_sql(before, given.names)} */ " if before is not None else ""


def _create_table(given: Arguments) -> Iterator[str]:
    parts, after = [], []
    table = given.table(0)
    for node in given.call.args[1:]:
        if isinstance(node, ast.Call):
            word = _verb(node)
            if word == "Column":
                parts.append(column_sql(node, given.names, in_table=True))
                if value_of(keyword(node, "index"), given.names) is True:
                    after.append(f"CREATE INDEX ON {table} ({parts[-1].split()[0]})")
            elif word in TABLE_PARTS:
                parts.append(TABLE_PARTS[word](Arguments(node, given.names)))
    partition = given.option("postgresql_partition_by")
    tail = f" PARTITION BY {partition}" if isinstance(partition, str) else ""
    yield f"CREATE TABLE {table} ({', '.join(parts)}){tail}"
    yield from after


def _named(given: Arguments) -> str:
    name = given.option("name")
    return f"CONSTRAINT {quoted(name)} " if isinstance(name, str) else ""


def _of_columns(kind: str) -> Callable[[Arguments], str]:
    def write(given: Arguments) -> str:
        names = [value_of(each, given.names) for each in given.call.args]
        return f"{_named(given)}{kind} ({', '.join(map(_key, names))})"

    return write


def _checked(given: Arguments) -> str:
    return f"{_named(given)}CHECK ({given.get(0, 'sqltext')})"


def _pointing(given: Arguments) -> str:
    targets = given.get(1, "refcolumns")
    table = targets[0].rpartition(".")[0] if _is_text(targets) else UNKNOWN_WORD
    keys = ", ".join(_key(each.rpartition(".")[2]) for each in targets) if _is_text(targets) else ""
    key = f" ({keys})" if keys else ""
    columns = given.columns(0, "columns")
    return f"{_named(given)}FOREIGN KEY ({columns}) REFERENCES {quoted(table)}{key}"


def _is_text(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, str) for one in value)


TABLE_PARTS: dict[str, Callable[[Arguments], str]] = {
    "PrimaryKeyConstraint": _of_columns("PRIMARY KEY"),
    "UniqueConstraint": _of_columns("UNIQUE"),
    "CheckConstraint": _checked,
    "ForeignKeyConstraint": _pointing,
}


def _drop_table(given: Arguments) -> Iterator[str]:
    yield f"DROP TABLE {given.table(0)}"


def _rename_table(given: Arguments) -> Iterator[str]:
    old, new = given.table(0, "old_table_name"), given.name(1, "new_table_name")
    yield f"ALTER TABLE {old} RENAME TO {new}"


def _create_index(given: Arguments) -> Iterator[str]:
    words = ["CREATE", "UNIQUE INDEX" if given.option("unique") is True else "INDEX"]
    words += ["CONCURRENTLY"] if given.option("postgresql_concurrently") is True else []
    words += ["IF NOT EXISTS"] if given.option("if_not_exists") is True else []
    keys = given.columns(given.shift(2), "columns")
    yield " ".join([*words, given.name(0, "index_name"), "ON", given.table(1), f"({keys})"])


def _drop_index(given: Arguments) -> Iterator[str]:
    concurrently = "CONCURRENTLY " if given.option("postgresql_concurrently") is True else ""
    exists = "IF EXISTS " if given.option("if_exists") is True else ""
    yield f"DROP INDEX {concurrently}{exists}{given.name(0, 'index_name')}"


def _constraint(begin: Callable[[Arguments], str]) -> Callable[[Arguments], Iterator[str]]:
    def write(given: Arguments) -> Iterator[str]:
        name, late = given.get(0, "constraint_name"), given.option("postgresql_not_valid") is True
        named = f"CONSTRAINT {quoted(name)} " if isinstance(name, str) else ""
        tail = " NOT VALID" if late else ""
        yield f"ALTER TABLE {given.table(1, 'source_table')} ADD {named}{begin(given)}{tail}"

    return write


def _foreign_key(given: Arguments) -> Iterator[str]:
    here, there = given.shift(3), given.shift(4)
    columns, keys = given.columns(here, "local_cols"), given.columns(there, "remote_cols")
    other = given.get(given.shift(2), "referent_table")
    schema = given.option("referent_schema")
    target = other if isinstance(other, str) else UNKNOWN_WORD
    to = quoted(f"{schema}.{target}" if isinstance(schema, str) else target)
    write = _constraint(lambda _: f"FOREIGN KEY ({columns}) REFERENCES {to} ({keys})")
    yield from write(given)


def _drop_constraint(given: Arguments) -> Iterator[str]:
    yield f"ALTER TABLE {given.table(1)} DROP CONSTRAINT {given.name(0, 'constraint_name')}"


def _execute(given: Arguments) -> Iterator[str]:
    text = given.get(0, "sqltext")
    if isinstance(text, str):
        yield PARAMETER.sub("$1", text).replace(r"\:", ":")
    elif text is UNKNOWN and (built := given.node(0, "sqltext")) is not None:
        yield from _built(built, given.names)


def _built(node: ast.expr, names: Names) -> Iterator[str]:
    """`users.update().where(...)` and `sa.delete(users)`: which table is not known, the verb is."""
    said = {_verb(each) for each in ast.walk(node) if isinstance(each, ast.Call)}
    condition = f" WHERE {UNKNOWN_WORD}" if "where" in said else ""
    table = UNKNOWN_WORD
    if "update" in said:
        yield f"UPDATE {table} SET {UNKNOWN_WORD} = NULL{condition}"
    elif "delete" in said:
        yield f"DELETE FROM {table}{condition}"
    del names


def _bulk_insert(given: Arguments) -> Iterator[str]:
    table = given.node(0, "table")
    name = Arguments(table, given.names).name(0, "name") if isinstance(table, ast.Call) else None
    yield f"INSERT INTO {name or UNKNOWN_WORD} VALUES (NULL)"


def _verb(call: ast.Call) -> str:
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


VERBS: dict[str, Callable[[Arguments], Iterator[str]]] = {
    "add_column": _add_column,
    "alter_column": _alter_column,
    "bulk_insert": _bulk_insert,
    "create_check_constraint": _constraint(
        lambda given: f"CHECK ({given.get(given.shift(2), 'condition')})"
    ),
    "create_exclude_constraint": _constraint(lambda _: "EXCLUDE USING gist (unknown_here WITH =)"),
    "create_foreign_key": _foreign_key,
    "create_index": _create_index,
    "create_primary_key": _constraint(
        lambda given: f"PRIMARY KEY ({given.columns(given.shift(2), 'columns')})"
    ),
    "create_table": _create_table,
    "create_unique_constraint": _constraint(
        lambda given: f"UNIQUE ({given.columns(given.shift(2), 'columns')})"
    ),
    "drop_column": _drop_column,
    "drop_constraint": _drop_constraint,
    "drop_index": _drop_index,
    "drop_table": _drop_table,
    "execute": _execute,
    "exec_driver_sql": _execute,
    "rename_table": _rename_table,
}
