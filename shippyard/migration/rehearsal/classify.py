"""Owns what kind of change a way was: what it added, took away, broke or lost. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence

from shippyard.migration.rehearsal.report import Kind
from shippyard.postgres.schema_objects import Difference, differences

USED = ("table", "view", "materialized view", "column", "function", "type", "sequence", "schema")
"""Objects that code names."""
REFUSING = ("constraint", "trigger", "policy")
"""Objects that may refuse what was taken before."""
_DEFAULT = re.compile(r" (DEFAULT|GENERATED) ")


def classify(
    before: Mapping[str, str],
    after: Mapping[str, str],
    gone: Sequence[str],
    *,
    comes_back: bool,
) -> tuple[Kind, ...]:
    """The kinds of one way, by its schema before and after, and the data that is gone."""
    return tuple(_kinds(differences(before, after), before, gone, comes_back=comes_back))


def _kinds(
    found: Sequence[Difference], before: Mapping[str, str], gone: Sequence[str], *, comes_back: bool
) -> Iterator[Kind]:
    if any(each.before is None for each in found):
        yield "expand"
    if any(each.after is None or _narrows(each, before) for each in found):
        yield "contract"
    if gone:
        yield "data_losing"
    if any(_breaks(each, before) for each in found):
        yield "breaking"
    if not comes_back:
        yield "irreversible"


def _breaks(each: Difference, before: Mapping[str, str]) -> bool:
    """Whether code that ran before fails now, whatever the data."""
    if each.after is None:
        return each.name.startswith(USED)
    if each.before is None:
        return _must_be_given(each, before)
    return _is_narrowed(each) or _is_another_type(each)


def _narrows(each: Difference, before: Mapping[str, str]) -> bool:
    """Whether something is refused, or found no more, that was fine before."""
    if each.before is not None:
        return _is_narrowed(each)
    return each.name.startswith(REFUSING) and _table_of(each.name) in before


def _must_be_given(each: Difference, before: Mapping[str, str]) -> bool:
    """A new column of an old table that code which does not know it can't leave out."""
    if not each.name.startswith("column ") or _table_of(each.name) not in before:
        return False
    said = f" {each.after} "
    return " NOT NULL " in said and not _DEFAULT.search(said)


def _is_narrowed(each: Difference) -> bool:
    """A column that takes less than before."""
    if not each.name.startswith("column ") or each.before is None or each.after is None:
        return False
    newly = " NOT NULL" in each.after and " NOT NULL" not in each.before
    lost_default = " DEFAULT" in each.before and " DEFAULT" not in each.after
    return newly or (lost_default and " NOT NULL" in each.after)


def _is_another_type(each: Difference) -> bool:
    if not each.name.startswith("column "):
        return False
    return _type_of(each.before or "") != _type_of(each.after or "")


def _type_of(definition: str) -> str:
    return re.split(r" (?:NOT NULL|DEFAULT|GENERATED|COLLATE|COMPRESSION|STORAGE)\b", definition)[0]


def _table_of(name: str) -> str:
    """`column public.users.id` is one of `table public.users`."""
    return f"table {name.partition(' ')[2].rpartition('.')[0]}"
