"""Owns which changes of a column's type leave the rows as they are."""

import re
from collections.abc import Mapping
from enum import Enum, auto

TEXTS = frozenset({"text", "varchar"})
SIZED = re.compile(r"([\w. ]+?)(?:\((-?\d+)(?:,(-?\d+))?\))?((?:\[\])*)")
FREE = frozenset(
    {
        ("cidr", "inet"),
        ("text", "citext"),
        ("varchar", "citext"),
        ("citext", "text"),
        ("citext", "varchar"),
        ("int4", "oid"),
        ("oid", "int4"),
        ("xml", "text"),
    }
)


class Change(Enum):
    """What a change of type does to the rows."""

    NOTHING = auto()
    SHRINKS = auto()
    TIME_ZONE = auto()
    REWRITES = auto()


def change_between(old: str, new: str, domains: Mapping[str, bool]) -> Change:
    """What becomes of rows of type `old` when the column is to be `new`."""
    if old == new:
        return Change.NOTHING
    before, after = SIZED.fullmatch(old), SIZED.fullmatch(new)
    if not before or not after or before.group(4) != after.group(4):
        return Change.REWRITES
    names = before.group(1), after.group(1)
    if names[1] in domains:
        return Change.REWRITES if domains[names[1]] else Change.NOTHING
    if set(names) == {"timestamp", "timestamptz"}:
        return Change.TIME_ZONE
    if names[0] == names[1] or (set(names) <= TEXTS):
        return _of_size(before, after)
    return Change.NOTHING if names in FREE and not after.group(2) else Change.REWRITES


def _of_size(before: "re.Match[str]", after: "re.Match[str]") -> Change:
    name, size, scale = after.group(1), after.group(2), after.group(3)
    if size is None:
        fixed = name in {"bpchar", "bit"}  # without a length they are of length 1
        return Change.REWRITES if fixed else Change.NOTHING
    if before.group(2) is None:
        return Change.SHRINKS
    if name in {"bpchar", "bit"}:
        return Change.SHRINKS if int(size) < int(before.group(2)) else Change.REWRITES
    same_scale = (before.group(3) or "0") == (scale or "0")
    if int(size) < int(before.group(2)):
        return Change.SHRINKS
    return Change.NOTHING if same_scale else Change.REWRITES
