"""Owns what a DO block or a function runs: its statements, and texts that it builds.

A text of constants is read; of `format` and `||` the unknown parts become a word.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from shippyard.migration.hazards.reading.nodes import called, items, joined, words
from shippyard.migration.hazards.reading.parser import parser
from shippyard.migration.hazards.reading.sql import Node, Statement, read_sql
from shippyard.migration.hazards.reading.values import UNKNOWN_WORD
from shippyard.migration.hazards.schema import Schema

DEPTH_MAX = 4
WRAP = "CREATE FUNCTION shippyard_do() RETURNS void LANGUAGE plpgsql AS $shippyard$%s$shippyard$"
PLACES = re.compile(r"%(?:\d+\$)?(?:-?\d+)?[sIL]")


def expand(statement: Statement, schema: Schema, depth: int = 0) -> Iterator[Statement]:
    """What a statement runs inside itself, in the order of its text."""
    if depth >= DEPTH_MAX or statement.by.endswith("unknown"):
        return
    yield from _deeper(_with_parts(statement), statement, schema, depth)
    if statement.kind == "do_stmt":
        body = _body(statement.node, "args")
        yield from _deeper(_plpgsql(WRAP % body, "do"), statement, schema, depth)
    elif statement.kind in {"select_stmt", "call_stmt"}:
        for name in sorted(called(statement.node)):
            made = schema.functions.get(name)
            if made is not None:
                yield from _deeper(_function(made), statement, schema, depth)


def _deeper(
    found: Iterator[Statement], outer: Statement, schema: Schema, depth: int
) -> Iterator[Statement]:
    for each in found:
        inner = replace(
            each,
            transaction=outer.transaction,
            line=outer.line,
            comment=outer.comment,
            step=outer.step,
            span=outer.span,
            safe_step=outer.safe_step,
        )
        yield inner
        yield from expand(inner, schema, depth + 1)


def _with_parts(statement: Statement) -> Iterator[Statement]:
    """The changes that stand in a WITH."""
    for each in items(statement.node.get("with_clause", {}), "ctes", "common_table_expr"):
        for kind, node in each.get("ctequery", {}).items():
            if kind != "select_stmt":
                yield replace(statement, kind=kind, node=node)


def _function(made: Statement) -> Iterator[Statement]:
    options = {each.get("defname"): each for each in items(made.node, "options", "def_elem")}
    language = options.get("language", {}).get("arg", {}).get("string", {}).get("sval", "sql")
    if language == "plpgsql":
        yield from _plpgsql(made.text, "function")
    elif language == "sql":
        body = _body(made.node, "options")
        yield from (replace(each, by="function") for each in read_sql(body, in_transaction=True))


def _body(node: Node, where: str) -> str:
    for each in items(node, where, "def_elem"):
        if each.get("defname") == "as":
            arg = each.get("arg", {})
            found = words(arg.get("list", {}).get("items")) or words([arg])
            return found[0] if found else ""
    return ""


def _plpgsql(text: str, by: str) -> Iterator[Statement]:
    try:
        parsed = parser().parse_plpgsql(text)
    except (parser().PgQueryError, ValueError):
        yield Statement("do_stmt", {}, text, None, by=f"{by} unknown")
        return
    yield from _statements(parsed, by)


def _statements(node: Any, by: str) -> Iterator[Statement]:
    if isinstance(node, list):
        for each in node:
            yield from _statements(each, by)
    elif isinstance(node, Mapping):
        for name, value in node.items():
            if name == "PLpgSQL_stmt_dynexecute":
                yield from _built(_query(value.get("query", {})), by)
            elif name == "PLpgSQL_stmt_execsql":
                yield from _read(_query(value.get("sqlstmt", {})), by)
            elif name == "PLpgSQL_stmt_perform":
                yield from _read(_query(value.get("expr", {})), by)
            else:
                yield from _statements(value, by)


def _query(node: Mapping[str, Any]) -> str:
    return str(node.get("PLpgSQL_expr", {}).get("query", ""))


def _read(sql: str, by: str) -> Iterator[Statement]:
    yield from (replace(each, by=by) for each in read_sql(sql, in_transaction=True))


def _built(expression: str, by: str) -> Iterator[Statement]:
    text = _text(expression)
    found = read_sql(text, in_transaction=True) if text else ()
    if not found or any(each.kind == "unreadable" for each in found):
        yield Statement("do_stmt", {}, f"EXECUTE {expression}", None, by="do unknown")
        return
    yield from (replace(each, by=f"{by} dynamic") for each in found)


def _text(expression: str) -> str:
    """What an expression gives, with a word for what can't be known; "" when nothing can."""
    found = read_sql(f"SELECT {expression}", in_transaction=True)
    targets = items(found[0].node, "target_list", "res_target") if found else []
    return _folded(targets[0].get("val", {})) if targets else ""


def _folded(node: Node) -> str:
    if "a_const" in node:
        return str(node["a_const"].get("sval", {}).get("sval", ""))
    operator = node.get("a_expr", {})
    if words(operator.get("name")) == ["||"]:
        left, right = _folded(operator.get("lexpr", {})), _folded(operator.get("rexpr", {}))
        return left + right
    call = node.get("func_call", {})
    if joined(words(call.get("funcname"))) == "format" and call.get("args"):
        return _formatted(call["args"])
    if "type_cast" in node:
        return _folded(node["type_cast"].get("arg", {}))
    return UNKNOWN_WORD


def _formatted(args: list[Node]) -> str:
    values = iter([_folded(each) for each in args[1:]])
    return PLACES.sub(lambda _: next(values, UNKNOWN_WORD), _folded(args[0])).replace("%%", "%")
