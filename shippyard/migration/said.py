"""Owns what a plan says it does, read from its SQL: what it names, drops, writes and retypes.

Text only. What a DO block, a function or Python code does is not said here, and so is nobody's
word. Knows neither the database nor what became of it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from shippyard.migration.hazards.reading.nodes import (
    called,
    column_of,
    commands,
    constraint_of,
    dropped,
    items,
    relation,
    type_of,
    walk,
)
from shippyard.migration.hazards.reading.parser import parser
from shippyard.migration.hazards.reading.sql import Node, Statement, read_sql
from shippyard.migration.plan import Plan, Rendered
from shippyard.migration.spec import Way

OURS = frozenset({"alembic_version", "shippyard.backfill"})
FORGETS_BACKFILL = "DO $$ BEGIN IF to_regclass('shippyard.backfill') IS NOT NULL THEN DELETE"
CHANGES = frozenset({"insert_stmt", "update_stmt", "delete_stmt"})
CODE = frozenset({"do_stmt", "call_stmt", "execute_stmt", "unreadable"})


@dataclass(frozen=True)
class Setting:
    """A column that is set; `value` is an expression over its own row, None for any other.

    For one that gets another type it is that type, None when an expression makes the values.
    """

    column: str
    value: str | None


@dataclass(frozen=True)
class Said:
    """One statement: the words that it names, and what it does to rows and objects.

    `table` is the one it is about, as written (`users`, `other.users`); "" when there is none.
    `runs_code`: what it does can't be read from it.
    """

    kind: str
    text: str
    words: frozenset[str]
    table: str = ""
    runs_code: bool = False
    drops_tables: tuple[str, ...] = ()
    drops_columns: tuple[str, ...] = ()
    makes_table: bool = False
    retypes: tuple[Setting, ...] = ()
    renames: tuple[str, str] | None = None
    sets: tuple[Setting, ...] = ()
    inserts: bool = False
    deletes: tuple[str, ...] = ()
    unvalidated: tuple[str, ...] = ()
    validates: tuple[str, ...] = ()

    def names(self, *words: str) -> bool:
        """Whether all of these are in it."""
        return self.words.issuperset(words)


def is_meant(written: str, full: str) -> bool:
    """Whether a name as written can mean an object (`users` means `public.users`)."""
    plain = full.replace('"', "")
    return plain in {written, f"public.{written}"} or plain.endswith(f".{written}")


def said_by(plan: Plan, revisions: Iterable[str], way: Way = "up") -> tuple[Said, ...]:
    """What a plan's revisions say they do, on one of the ways."""
    return tuple(
        each
        for revision in revisions
        if (found := _rendered(plan, way).get(revision)) is not None
        for each in say(found.sql)
    )


def unread(plan: Plan, revisions: Iterable[str], way: Way = "up") -> tuple[str, ...]:
    """The revisions whose SQL is not known before they run."""
    found = _rendered(plan, way)
    return tuple(each for each in revisions if each not in found or found[each].unrendered)


def say(text: str) -> tuple[Said, ...]:
    """The statements of a text, without Alembic's own and ours."""
    read = [
        said
        for each in read_sql(text, in_transaction=True)
        for said in (_said(each), *map(_said, _within(each)))
    ]
    return tuple(each for each in read if each.table not in OURS and not _forgets(each))


def _within(statement: Statement) -> Iterator[Statement]:
    """The changes that stand in a WITH."""
    for kind, node in walk(statement.node):
        if kind in CHANGES and node is not statement.node:
            yield replace(statement, kind=kind, node=node, by="with")


def _forgets(said: Said) -> bool:
    return " ".join(said.text.split()).startswith(FORGETS_BACKFILL)


def _rendered(plan: Plan, way: Way) -> Mapping[str, Rendered]:
    return plan.rendered if way == "up" else plan.undo


def _said(statement: Statement) -> Said:
    node, kind = statement.node, statement.kind
    code = kind in CODE or (kind == "select_stmt" and bool(called(node)))
    facts: dict[str, Any] = {"table": relation(node.get("relation")), "runs_code": code}
    match kind:
        case "alter_table_stmt":
            facts |= _altered(facts["table"], node)
        case "create_stmt" | "create_table_as_stmt":
            facts["makes_table"] = True
        case "drop_stmt" if node.get("remove_type") in {"OBJECT_TABLE", "OBJECT_SCHEMA"}:
            facts["drops_tables"] = tuple(each for each in dropped(node) if each not in OURS)
        case "rename_stmt" if node.get("rename_type") == "OBJECT_TABLE":
            facts["renames"] = (facts["table"], str(node.get("newname")))
        case "update_stmt":
            facts["sets"] = tuple(_settings(statement))
        case "insert_stmt":
            facts |= {"inserts": True, "sets": tuple(_upserted(node))}
        case "delete_stmt":
            facts["deletes"] = (facts["table"],)
        case "truncate_stmt":
            facts["deletes"] = tuple(relation(n) for n in items(node, "relations", "range_var"))
        case "merge_stmt":
            facts |= {"inserts": True, "deletes": (facts["table"],), "sets": (Setting("*", None),)}
    return Said(kind, statement.text, frozenset(_words(node)), **facts)


def _altered(table: str, node: Node) -> dict[str, Any]:
    subs = commands(node)

    def of(*subtypes: str) -> list[Node]:
        return [each for each in subs if each.get("subtype") in subtypes]

    added = [constraint_of(each) for each in of("AT_AddConstraint")]
    return {
        "drops_columns": tuple(f"{table}.{each.get('name')}" for each in of("AT_DropColumn")),
        "retypes": tuple(
            Setting(str(each.get("name")), _retyped(each)) for each in of("AT_AlterColumnType")
        ),
        "unvalidated": tuple(str(a.get("conname")) for a in added if a.get("skip_validation")),
        "validates": tuple(str(each.get("name")) for each in of("AT_ValidateConstraint")),
    }


def _retyped(command: Node) -> str | None:
    """A column's new type; None when an expression makes its values."""
    column = column_of(command)
    return None if "raw_default" in column else type_of(column.get("type_name"))


def _settings(statement: Statement) -> Iterator[Setting]:
    targets = items(statement.node, "target_list", "res_target")
    joined = statement.by == "with" or {"from_clause", "with_clause"} & statement.node.keys()
    values = [None] * len(targets) if joined else _values(statement.text)
    for target, value in zip(targets, values, strict=True):
        yield Setting(str(target.get("name")), value)


def _upserted(node: Node) -> Iterator[Setting]:
    """What an INSERT sets in rows that are there."""
    for target in items(node.get("on_conflict_clause", {}), "target_list", "res_target"):
        yield Setting(str(target.get("name")), None)


def _values(text: str) -> list[str | None]:
    """The expression of each column that an UPDATE sets, as SQL over the row alone."""
    update = parser().parse(text).stmts[0].stmt.update_stmt
    alias = update.relation.alias.aliasname
    return [_expression(each.res_target.val, alias) for each in update.target_list]


def _expression(node: Any, alias: str) -> str | None:
    if node.WhichOneof("node") in {"set_to_default", "multi_assign_ref"}:
        return None
    wrap = parser().parse("SELECT 1")
    wrap.stmts[0].stmt.select_stmt.target_list[0].res_target.val.CopyFrom(node)
    written: str = parser().deparse(wrap).removeprefix("SELECT ")
    return None if alias or "SELECT" in written.upper() else written


def _words(node: Any) -> Iterator[str]:
    """Every name in a statement; constants of its text are none."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            if isinstance(value, str):
                if name == "sval" or (name.endswith("name") and name != "defname"):
                    yield value
            elif name != "a_const":
                yield from _words(value)
    elif isinstance(node, list):
        for each in node:
            yield from _words(each)
