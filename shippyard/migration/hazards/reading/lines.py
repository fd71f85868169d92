"""Owns finding, for each rendered statement, the step of the file that it comes from."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from shippyard.migration.hazards.reading.nodes import (
    column_of,
    commands,
    constraint_of,
    dropped,
    items,
    joined,
    relation,
    words,
)
from shippyard.migration.hazards.reading.sql import Node, Statement

Signature = tuple[str, ...]


def placed(rendered: Sequence[Statement], written: Sequence[Statement]) -> Iterator[Statement]:
    """The rendered statements, each with its line and step where one of the file is like it."""
    free = list(written)
    for statement in rendered:
        found = _like(statement, free)
        if found is None:
            yield replace(statement, line=1)
            continue
        if not found.unrolled:
            free.remove(found)
        yield replace(
            statement,
            line=found.line,
            comment=found.comment,
            span=found.span,
            step=found.step,
            safe_step=found.safe_step,
            unrolled=found.unrolled,
        )


def _like(statement: Statement, free: Sequence[Statement]) -> Statement | None:
    same = " ".join(statement.text.split())
    for each in free:
        if " ".join(each.text.split()) == same:
            return each
    signature = _signature(statement)
    for each in free:
        if _signature(each) == signature:
            return each
    nearly = [each for each in free if _signature(each)[:2] == signature[:2]]
    return nearly[0] if nearly else _anything_unknown(statement, free)


def _anything_unknown(statement: Statement, free: Sequence[Statement]) -> Statement | None:
    """A step whose table could not be read, but whose kind is the same."""
    kinds = [each for each in free if each.kind == statement.kind and "unknown_here" in each.text]
    return kinds[0] if kinds else None


def _signature(statement: Statement) -> Signature:
    node = statement.node
    name = relation(node.get("relation")) or " ".join(dropped(node))
    # A batch says its schema once, for everything in it.
    return (statement.kind, name.rpartition(".")[2], *_parts(statement.kind, node))


def _parts(kind: str, node: Node) -> list[str]:
    if kind == "alter_table_stmt":
        return [word for each in commands(node) for word in _command(each)]
    if kind == "index_stmt":
        return [str(node.get("idxname"))]
    if kind == "update_stmt":
        return [each.get("name", "") for each in items(node, "target_list", "res_target")]
    named = [node.get(each) for each in ("subname", "newname", "trigname", "new_val")]
    return [str(each) for each in named if each] + [joined(words(node.get("funcname")))]


def _command(command: Node) -> list[str]:
    name = (
        command.get("name")
        or column_of(command).get("colname")
        or constraint_of(command).get("conname")
    )
    return [command.get("subtype", ""), str(name)]
