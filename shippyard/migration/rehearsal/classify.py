"""Owns what kind of change a way was: what it added, took away, broke or lost. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shippyard.migration.rehearsal.report import Kind
from shippyard.postgres.schema_objects import Difference, differences

USED = frozenset(
    (
        "table",
        "view",
        "materialized view",
        "column",
        "function",
        "type",
        "enum",
        "domain",
        "range",
        "sequence",
        "schema",
    )
)
"""Objects that code names."""
REFUSING = frozenset(("constraint", "trigger", "policy"))
"""Objects that may refuse what was taken before."""
_COLUMN = re.compile(
    r"(?P<type>.+?)(?: COLLATE \S+)?(?P<never_null> NOT NULL)?"
    r"(?: (?P<rest>(?:DEFAULT|GENERATED|COMPRESSION|STORAGE|COMMENT)\b.*))?",
    re.DOTALL,
)
_NAME = re.compile(r"(materialized view|event trigger|\w+) (.*)", re.DOTALL)
_UNIQUE = re.compile(r"CREATE UNIQUE INDEX .+? ON (?:ONLY )?(.+?) USING ", re.DOTALL)
_LABEL = re.compile(r"'(?:[^']|'')*'")
_SIZED = re.compile(r"(?P<base>character varying|character|bit varying|bit)(?:\((?P<size>\d+)\))?")
_NUMBERS = ("smallint", "integer", "bigint", "numeric")


@dataclass(frozen=True)
class _Column:
    """What a column's definition says to those that write to it."""

    type: str
    never_null: bool
    fills: bool
    refuses: bool


def classify(
    before: Mapping[str, str],
    after: Mapping[str, str],
    gone: Sequence[str],
    *,
    comes_back: bool,
    breaks: bool = False,
) -> tuple[Kind, ...]:
    """The kinds of one way, by its schema before and after, and the data that is gone.

    `breaks` says that a statement of production was seen to run no more.
    """
    found = differences(before, after)
    kinds: Mapping[Kind, bool] = {
        "expand": any(each.before is None for each in found),
        "contract": any(each.after is None or _narrows(each, before) for each in found),
        "data_losing": bool(gone),
        "breaking": breaks or any(_breaks(each, before) for each in found),
        "irreversible": not comes_back,
    }
    return tuple(kind for kind, so in kinds.items() if so)


def _breaks(each: Difference, before: Mapping[str, str]) -> bool:
    """Whether code that ran before fails now, whatever the data."""
    if each.after is None:
        return _kind(each.name) in USED
    if each.before is None:
        return _must_be_given(each, before)
    return _is_narrowed(each) or _is_another_type(each)


def _narrows(each: Difference, before: Mapping[str, str]) -> bool:
    """Whether something is refused, or found no more, that was fine before."""
    if each.before is not None:
        return each.after is not None and (_is_narrowed(each) or _is_smaller(each))
    if unique := _UNIQUE.match(each.after or ""):
        return f"table {unique[1]}" in before
    return _kind(each.name) in REFUSING and _table_of(each.name) in before


def _must_be_given(each: Difference, before: Mapping[str, str]) -> bool:
    """A new column of an old table that code which does not know it can't leave out."""
    if _kind(each.name) != "column" or _table_of(each.name) not in before:
        return False
    column = _column(each.after)
    return column.never_null and not column.fills


def _is_narrowed(each: Difference) -> bool:
    """Takes, or shows, less than before."""
    match _kind(each.name):
        case "column":
            was, now = _column(each.before), _column(each.after)
            newly = now.never_null and not was.never_null
            lost_default = was.fills and not now.fills and now.never_null
            return newly or lost_default or (now.refuses and not was.refuses)
        case "enum":
            return not set(_labels(each.before)) <= set(_labels(each.after))
        case "table":
            return _hides(each.after) and not _hides(each.before)
    return False


def _is_another_type(each: Difference) -> bool:
    return _kind(each.name) == "column" and _column(each.before).type != _column(each.after).type


def _is_smaller(each: Difference) -> bool:
    """A type that does not hold all that the one before it held, as far as names tell."""
    if not _is_another_type(each):
        return False
    was, now = _column(each.before).type, _column(each.after).type
    if was in _NUMBERS and now in _NUMBERS:
        return _NUMBERS.index(now) < _NUMBERS.index(was)
    if (sized := _SIZED.fullmatch(now)) is None:
        return False
    before = _SIZED.fullmatch(was)
    old, new = before and before["size"], sized["size"]
    return was == "text" or (bool(new) and (not old or int(new) < int(old)))


def _column(definition: str | None) -> _Column:
    """Of the definition that a schema's objects have; a default's own words don't count."""
    found = _COLUMN.fullmatch(definition or " ")
    assert found is not None
    rest = found["rest"] or ""
    return _Column(
        found["type"],
        found["never_null"] is not None,
        rest.startswith(("DEFAULT", "GENERATED")),
        rest.startswith("GENERATED") and not rest.startswith("GENERATED BY DEFAULT"),
    )


def _labels(definition: str | None) -> list[str]:
    return _LABEL.findall((definition or "").partition("COMMENT '")[0])


def _hides(definition: str | None) -> bool:
    return "ROW LEVEL SECURITY" in (definition or "").partition("COMMENT '")[0]


def _kind(name: str) -> str:
    found = _NAME.match(name)
    return found[1] if found else ""


def _table_of(name: str) -> str:
    """`column public.users.id` is one of `table public.users`."""
    found = _NAME.match(name)
    return f"table {found[2].rpartition('.')[0]}" if found else ""
