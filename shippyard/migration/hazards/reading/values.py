"""Owns what an expression of a revision's file says, as far as that can be known unrun.

Literals, names bound to literals, f-strings and joined strings; what can't be known becomes a word
that SQL takes as a name.
"""

import ast
import re
from collections.abc import Mapping
from typing import Any

UNKNOWN_WORD = "unknown_here"


class Unknown:
    """What only running the code would tell."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = Unknown()
Names = Mapping[str, Any]
TEXT_CALLS = frozenset({"text", "f", "literal_column", "DDL", "SQL", "dedent", "literal"})
STRING_METHODS = frozenset({"strip", "lstrip", "rstrip", "bindparams", "execution_options"})


def value_of(node: ast.expr | None, names: Names) -> Any:  # noqa: PLR0911  one for each kind
    """The value of an expression; UNKNOWN, or a list or text with unknown parts."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return names.get(node.id, UNKNOWN)
    if isinstance(node, ast.JoinedStr):
        return "".join(_part(each, names) for each in node.values)
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return [value_of(each, names) for each in node.elts]
    if isinstance(node, ast.Dict):
        return {value_of(key, names): value_of(each, names) for key, each in _pairs(node)}
    if isinstance(node, ast.BinOp):
        return _combined(node, names)
    if isinstance(node, ast.Call):
        return _called(node, names)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = value_of(node.operand, names)
        return -inner if isinstance(inner, int | float) else UNKNOWN
    return UNKNOWN


def text_of(node: ast.expr | None, names: Names) -> str | None:
    """The text that an expression gives, or None when it gives none that is known."""
    found = value_of(node, names)
    return found if isinstance(found, str) else None


def assigned(body: list[ast.stmt], names: Names) -> dict[str, Any]:
    """`names`, and those that simple assignments of a body bind."""
    known = dict(names)
    for node in body:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    known[target.id] = value_of(node.value, known)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            known[node.target.id] = value_of(node.value, known)
    return known


def _pairs(node: ast.Dict) -> list[tuple[ast.expr, ast.expr]]:
    return [(key, value) for key, value in zip(node.keys, node.values, strict=True) if key]


def _part(node: ast.expr, names: Names) -> str:
    if isinstance(node, ast.FormattedValue):
        return _word(value_of(node.value, names))
    return _word(value_of(node, names))


def _word(value: Any) -> str:
    return str(value) if isinstance(value, str | int | float) else UNKNOWN_WORD


def _combined(node: ast.BinOp, names: Names) -> Any:
    left, right = value_of(node.left, names), value_of(node.right, names)
    if isinstance(node.op, ast.Add):
        if isinstance(left, list) and isinstance(right, list):
            return left + right
        if isinstance(left, str) or isinstance(right, str):
            return _word(left) + _word(right)
    if isinstance(node.op, ast.Mod) and isinstance(left, str):
        given = iter(right if isinstance(right, list) else [right])
        return re.sub(r"%(?:\(\w+\))?[sdr]", lambda _: _word(next(given, UNKNOWN)), left)
    return UNKNOWN


def _called(node: ast.Call, names: Names) -> Any:
    if not isinstance(node.func, ast.Attribute | ast.Name):
        return UNKNOWN
    name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
    if isinstance(node.func, ast.Attribute):
        if name in STRING_METHODS:
            return value_of(node.func.value, names)
        if name in {"format", "join"}:
            return _formatted(node, node.func.value, name, names)
    return value_of(node.args[0], names) if name in TEXT_CALLS and node.args else UNKNOWN


def _formatted(node: ast.Call, pattern: ast.expr, name: str, names: Names) -> Any:
    text = value_of(pattern, names)
    if not isinstance(text, str):
        return UNKNOWN
    given = [value_of(each, names) for each in node.args]
    if name == "join":
        parts = given[0] if given and isinstance(given[0], list) else [UNKNOWN]
        return text.join(map(_word, parts))
    named = {each.arg: value_of(each.value, names) for each in node.keywords if each.arg}
    rest = iter(given)

    def fill(found: "re.Match[str]") -> str:
        key = found.group(1)
        return _word(named.get(key, UNKNOWN) if key and not key.isdigit() else next(rest, UNKNOWN))

    return re.sub(r"\{(\w*)[^{}]*\}", fill, text)
