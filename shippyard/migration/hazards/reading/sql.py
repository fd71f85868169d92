"""Owns turning SQL text into statements: each parsed, with its place and its transaction.

Knows no rule. What PostgreSQL's own parser does not take is kept as an unreadable statement.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from shippyard.migration.hazards.reading.parser import as_document, parser

Node = Mapping[str, Any]

UNREADABLE = "unreadable"
BEGINS = frozenset({"TRANS_STMT_BEGIN", "TRANS_STMT_START"})
ENDS = frozenset({"TRANS_STMT_COMMIT", "TRANS_STMT_ROLLBACK"})
PSQL_COMMAND = re.compile(r"^\\\w.*$", re.MULTILINE)

_numbers = count(1)


@dataclass(frozen=True)
class Statement:
    """One statement as it will be sent.

    `kind` is the parser's name of it (`alter_table_stmt`), `node` what the parser made of it.
    `transaction` is the same number for statements that commit together, None for one that stands
    outside any. `line` counts in the file it stands in. `by` says what sends it: the revision's
    SQL (""), a DO block, a function that it calls, or Python code on the connection itself.
    `unrolled` is true when a loop of unknown length sends it.
    """

    kind: str
    node: Node
    text: str
    transaction: int | None
    line: int = 1
    comment: str = ""
    by: str = ""
    unrolled: bool = False
    step: int | None = None
    safe_step: bool = False
    span: tuple[int, int] = (0, 0)


def read_sql(sql: str, *, in_transaction: bool) -> tuple[Statement, ...]:
    """The statements of a text, in order, without BEGIN and COMMIT."""
    found: list[Statement] = []
    transaction = next(_numbers) if in_transaction else None
    for kind, node, text, line, comment in _pieces(PSQL_COMMAND.sub(_blank, sql)):
        if kind == "transaction_stmt" and node.get("kind") in BEGINS:
            transaction = next(_numbers)
        elif kind == "transaction_stmt" and node.get("kind") in ENDS:
            transaction = None
        else:
            found.append(Statement(kind, node, text, transaction, line, comment))
    return tuple(found)


def new_transaction() -> int:
    """A number that no other transaction has."""
    return next(_numbers)


def _pieces(sql: str) -> Iterator[tuple[str, Node, str, int, str]]:
    """Kind, node, text, line and the comments before it, of each statement."""
    data, before = sql.encode(), 0
    for start, end, parsed in _parsed(data):
        text = data[start:end].decode()
        lead = len(text) - len(_without_comments(text))
        comment = data[before:start].decode() + text[:lead]
        at = start + len(text[:lead].encode())
        text, before = text[lead:].strip(), end
        if text:
            kind, node = parsed
            yield kind, node, text, data[:at].count(b"\n") + 1, comment


def _parsed(data: bytes) -> Iterator[tuple[int, int, tuple[str, Node]]]:
    try:
        statements = parser().parse(data.decode()).stmts
    except parser().PgQueryError:
        yield from _one_by_one(data)
        return
    for each in statements:
        end = each.stmt_location + each.stmt_len if each.stmt_len else len(data)
        yield each.stmt_location, end, _named(as_document(each.stmt))


def _one_by_one(data: bytes) -> Iterator[tuple[int, int, tuple[str, Node]]]:
    """One statement that can't be read must not hide the others."""
    at = 0
    try:
        texts = parser().split(data.decode(), method="scanner")
    except parser().PgQueryError:
        texts = [data.decode()]
    for text in texts:
        start = data.index(text.encode(), at)
        at = start + len(text.encode())
        yield start, at, _read_one(text)


def _read_one(text: str) -> tuple[str, Node]:
    try:
        parsed = parser().parse(text).stmts
    except parser().PgQueryError as error:
        return UNREADABLE, {"error": str(error)}
    return _named(as_document(parsed[0].stmt)) if parsed else ("empty", {})


def _named(node: Node) -> tuple[str, Node]:
    return next(iter(node.items()), ("empty", {}))


LEAD = re.compile(r"(?:\s+|--[^\n]*(?:\n|$)|/\*.*?\*/)*", re.DOTALL)


def _without_comments(text: str) -> str:
    match = LEAD.match(text)
    return text[match.end() :] if match else text


def _blank(found: "re.Match[str]") -> str:
    """A psql command is not SQL; places after it stay where they are."""
    return " " * len(found.group(0).encode())
