"""Owns the comments with which an author lets a hazard pass: `shippyard: allow H30 because ...`."""

import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass

ALLOW = re.compile(
    r"shippyard:\s*allow\s+(?P<ids>H\d+(?:\s*,\s*H\d+)*)\s*(?:because\s+(?P<reason>\S.*?))?\s*$",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True)
class Allowed:
    """One such comment: its line, what it lets pass, and why."""

    line: int
    ids: frozenset[str]
    reason: str


def allowances(source: bytes) -> tuple[Allowed, ...]:
    """The comments of a Python file."""
    try:
        tokens = list(tokenize.tokenize(io.BytesIO(source).readline))
    except (tokenize.TokenError, SyntaxError):
        return ()
    comments = (each for each in tokens if each.type == tokenize.COMMENT)
    return tuple(found for each in comments for found in _read(each.string, each.start[0]))


def allowances_in_sql(text: str) -> tuple[Allowed, ...]:
    """The `--` comments of a text of SQL."""
    lines = enumerate(text.splitlines(), start=1)
    return tuple(found for number, line in lines if "--" in line for found in _read(line, number))


def _read(comment: str, line: int) -> Iterator[Allowed]:
    for found in ALLOW.finditer(comment):
        ids = {each.strip().upper() for each in found.group("ids").split(",")}
        yield Allowed(line, frozenset(ids), (found.group("reason") or "").strip())
