"""Owns reading a revision's file as syntax: which statements its functions send, from which line.

Nothing is executed. Calls of the file's own functions are followed, loops over literals are taken
round by round, and what goes past Alembic to the connection itself is noticed.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from shippyard.migration.hazards.reading.operations import Arguments, sql_of
from shippyard.migration.hazards.reading.sql import Statement, new_transaction, read_sql
from shippyard.migration.hazards.reading.steps import IN_TRANSACTION, step_sql
from shippyard.migration.hazards.reading.values import UNKNOWN, Names, assigned, value_of

DEPTH_MAX = 8
ROUNDS_MAX = 64
SENDS = frozenset({"execute", "exec_driver_sql", "scalar", "scalars", "executemany"})
DRIVER = ("cursor", "driver_connection", "raw_connection", "dbapi_connection", "psycopg")
ORM = frozenset(
    {
        "add",
        "add_all",
        "commit",
        "flush",
        "bulk_save_objects",
        "bulk_update_mappings",
        "merge",
        "query",
    }
)
PYTHON = "python"


@dataclass(frozen=True)
class Frame:
    """Where a walk stands: what names mean, and in which transaction."""

    names: Names
    transaction: int | None
    unrolled: bool = False
    depth: int = 0
    batches: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)


class Script:
    """One revision's file."""

    def __init__(self, source: bytes) -> None:
        self._module = ast.parse(source)
        self._names = assigned(self._module.body, {})
        self._functions = {
            node.name: node for node in self._module.body if isinstance(node, ast.FunctionDef)
        }
        self._step = 0

    def line_of(self, function: str) -> int:
        """Where a function of the file begins; 1 when there is none."""
        return self._functions[function].lineno if function in self._functions else 1

    def calls(self, function: str) -> list[ast.Call]:
        """Every call in a function, and in the file's functions that it may call."""
        found = self._functions.get(function)
        if not found:
            return []
        bodies = [found, *(each for name, each in self._functions.items() if not _is_way(name))]
        calls = [node for body in bodies for node in ast.walk(body) if isinstance(node, ast.Call)]
        return sorted(calls, key=lambda call: call.lineno)

    def value(self, node: ast.expr | None) -> Any:
        """What an expression says, by the file's own names."""
        return value_of(node, self._names)

    def statements(self, function: str) -> tuple[Statement, ...]:
        """What a function sends, in order, as far as it can be read."""
        self._step = 0
        found = self._functions.get(function)
        if not found:
            return ()
        return tuple(self._body(found.body, [Frame(self._names, new_transaction())]))

    def _body(self, body: list[ast.stmt], at: list[Frame]) -> Iterator[Statement]:
        """`at` holds one frame, replaced as names are bound and transactions end."""
        for node in body:
            yield from self._statement(node, at)

    def _statement(self, node: ast.stmt, at: list[Frame]) -> Iterator[Statement]:
        if isinstance(node, ast.With):
            yield from self._with(node, at)
        elif isinstance(node, ast.For):
            yield from self._for(node, at)
        elif isinstance(node, ast.While):
            yield from self._calls(node.test, at)
            yield from self._inside(node.body, at, unrolled=True)
        elif isinstance(node, ast.If):
            yield from self._calls(node.test, at)
            yield from self._body([*node.body, *node.orelse], at)
        elif isinstance(node, ast.Try):
            rest = [each for handler in node.handlers for each in handler.body]
            yield from self._body([*node.body, *rest, *node.orelse, *node.finalbody], at)
        elif not isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield from self._calls(node, at)
            at[0] = replace(at[0], names=assigned([node], at[0].names), aliases=_alias(node, at[0]))

    def _with(self, node: ast.With, at: list[Frame]) -> Iterator[Statement]:
        before = at[0]
        inner = before
        for item in node.items:
            call = item.context_expr
            verb = _verb(call) if isinstance(call, ast.Call) else ""
            if verb == "autocommit_block":
                inner = replace(inner, transaction=None)
            elif verb == "batch_alter_table" and isinstance(call, ast.Call):
                inner = _with_batch(inner, item, call)
            else:
                inner = replace(inner, aliases=_alias_of(item.optional_vars, call, inner))
                yield from self._calls(call, at)
        inside = [inner]
        yield from self._body(node.body, inside)
        # A new transaction begins where an autocommit block ends.
        ended = inner.transaction is None and before.transaction is not None
        at[0] = replace(before, names=inside[0].names)
        if ended:
            at[0] = replace(at[0], transaction=new_transaction())

    def _for(self, node: ast.For, at: list[Frame]) -> Iterator[Statement]:
        yield from self._calls(node.iter, at)
        rounds = _rounds(node.iter, at[0].names)
        if rounds is None:
            yield from self._inside(node.body, at, unrolled=True)
            return
        for each in rounds:
            at[0] = replace(at[0], names={**at[0].names, **_bound(node.target, each)})
            yield from self._body(node.body, at)

    def _inside(
        self, body: list[ast.stmt], at: list[Frame], *, unrolled: bool
    ) -> Iterator[Statement]:
        inside = [replace(at[0], unrolled=unrolled)]
        yield from self._body(body, inside)
        at[0] = replace(inside[0], unrolled=at[0].unrolled)

    def _calls(self, node: ast.AST, at: list[Frame]) -> Iterator[Statement]:
        calls = [each for each in ast.walk(node) if isinstance(each, ast.Call)]
        for call in sorted(calls, key=lambda each: (each.lineno, each.col_offset)):
            yield from self._call(call, at)

    def _call(self, call: ast.Call, at: list[Frame]) -> Iterator[Statement]:
        frame, verb, room = at[0], _verb(call), _room(call)
        if isinstance(call.func, ast.Name) and verb in self._functions:
            yield from self._own(self._functions[verb], call, at)
        elif room == "op":
            yield from self._sent(call, sql_of(verb, Arguments(call, frame.names)), frame)
        elif room in frame.batches:
            given = Arguments(call, frame.names, frame.batches[room])
            yield from self._sent(call, sql_of(verb, given), frame)
        elif room == "ops":
            where = frame if verb in IN_TRANSACTION else replace(frame, transaction=None)
            found = self._sent(call, step_sql(verb, Arguments(call, frame.names)), where)
            yield from (replace(each, safe_step=True) for each in found)
        elif verb in SENDS | ORM:
            yield from self._past_alembic(call, verb, frame)

    def _own(
        self, function: ast.FunctionDef, call: ast.Call, at: list[Frame]
    ) -> Iterator[Statement]:
        frame = at[0]
        if frame.depth >= DEPTH_MAX:
            return
        names = {**frame.names, **_arguments(function, call, frame.names)}
        inside = [replace(frame, names=names, depth=frame.depth + 1)]
        yield from self._body(function.body, inside)
        at[0] = replace(frame, transaction=inside[0].transaction)

    def _past_alembic(self, call: ast.Call, verb: str, frame: Frame) -> Iterator[Statement]:
        by = "driver" if _is_driver(call, verb, frame) else "connection"
        texts = list(sql_of("execute", Arguments(call, frame.names))) if verb in SENDS else []
        sent = [replace(each, by=by) for each in self._sent(call, iter(texts), frame)]
        yield from sent
        if not sent and not _only_reads(call, verb, frame):
            yield self._unknown(call, frame, by)

    def _unknown(self, call: ast.Call, frame: Frame, by: str) -> Statement:
        text = ast.unparse(call)
        return Statement(PYTHON, {}, text, frame.transaction, call.lineno, "", by, frame.unrolled)

    def _sent(self, call: ast.Call, texts: Iterator[str], frame: Frame) -> Iterator[Statement]:
        self._step += 1
        for text in texts:
            shift = _first_line(call)
            for each in read_sql(text, in_transaction=False):
                line = min(shift + each.line - 1, call.end_lineno or shift)
                yield replace(
                    each,
                    line=line,
                    transaction=frame.transaction,
                    unrolled=frame.unrolled,
                    step=self._step,
                    span=(call.lineno, call.end_lineno or call.lineno),
                )


def _is_way(name: str) -> bool:
    return name in {"upgrade", "downgrade"}


def _first_line(call: ast.Call) -> int:
    """Where a call's text begins: that of a long one is not on the line of the call."""
    texts = [
        node
        for node in ast.walk(call)
        if isinstance(node, ast.Constant | ast.JoinedStr) and _is_text(node)
    ]
    many = texts and _verb(call) in SENDS
    return texts[0].lineno if many else call.lineno


def _is_text(node: ast.Constant | ast.JoinedStr) -> bool:
    return isinstance(node, ast.JoinedStr) or isinstance(node.value, str)


def _verb(call: ast.Call) -> str:
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _room(call: ast.Call) -> str:
    """What a function is called on, when that is a plain name."""
    on = call.func.value if isinstance(call.func, ast.Attribute) else None
    if isinstance(on, ast.Attribute):
        return on.attr
    return on.id if isinstance(on, ast.Name) else ""


def _with_batch(frame: Frame, item: ast.withitem, call: ast.Call) -> Frame:
    given = Arguments(call, frame.names)
    table, schema = given.get(0, "table_name"), given.option("schema")
    name = f"{schema}.{table}" if isinstance(schema, str) else str(table)
    as_name = item.optional_vars.id if isinstance(item.optional_vars, ast.Name) else ""
    return replace(frame, batches={**frame.batches, as_name: name})


def _alias(node: ast.stmt, frame: Frame) -> Mapping[str, str]:
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        return _alias_of(node.targets[0], node.value, frame)
    return frame.aliases


def _alias_of(target: ast.expr | None, value: ast.expr, frame: Frame) -> Mapping[str, str]:
    """What a name was bound to, as text: whether it is the driver's shows in it."""
    if not isinstance(target, ast.Name):
        return frame.aliases
    said = ast.unparse(value)
    for name, known in frame.aliases.items():
        if said.startswith(f"{name}."):
            said = known + said.removeprefix(name)
    return {**frame.aliases, target.id: said}


def _is_driver(call: ast.Call, verb: str, frame: Frame) -> bool:
    if verb in {"exec_driver_sql", "executemany"}:
        return True
    on = ast.unparse(call.func)
    known = frame.aliases.get(on.partition(".")[0], "")
    return any(word in on or word in known for word in DRIVER)


def _only_reads(call: ast.Call, verb: str, frame: Frame) -> bool:
    """True for `execute(select(...))`, and for `add` and its like on what is no session."""
    said = ast.unparse(call)
    if verb in SENDS:
        return "select(" in said and not any(f".{word}(" in said for word in ("update", "delete"))
    on = ast.unparse(call.func)
    on += frame.aliases.get(on.partition(".")[0], "")
    return "session" not in on.lower() or (verb == "query" and ".update" not in said)


def _rounds(node: ast.expr, names: Names) -> list[Any] | None:
    if isinstance(node, ast.Call) and _verb(node) in {"reversed", "sorted", "list", "tuple"}:
        inner = _rounds(node.args[0], names) if node.args else None
        return list(reversed(inner)) if inner and _verb(node) == "reversed" else inner
    if isinstance(node, ast.Call) and _verb(node) == "items":
        on = node.func.value if isinstance(node.func, ast.Attribute) else None
        found = value_of(on, names)
        return [list(pair) for pair in found.items()] if isinstance(found, dict) else None
    found = value_of(node, names)
    if isinstance(found, dict):
        found = list(found)
    return found if isinstance(found, list) and len(found) <= ROUNDS_MAX else None


def _bound(target: ast.expr, value: Any) -> dict[str, Any]:
    if isinstance(target, ast.Name):
        return {target.id: value}
    if isinstance(target, ast.Tuple) and isinstance(value, list):
        pairs = zip(target.elts, value, strict=False)
        return {each.id: one for each, one in pairs if isinstance(each, ast.Name)}
    return {each.id: UNKNOWN for each in ast.walk(target) if isinstance(each, ast.Name)}


def _arguments(function: ast.FunctionDef, call: ast.Call, names: Names) -> dict[str, Any]:
    given = [value_of(each, names) for each in call.args]
    places = [each.arg for each in function.args.args]
    found: dict[str, Any] = dict(zip(places, given, strict=False))
    return found | {each.arg: value_of(each.value, names) for each in call.keywords if each.arg}
