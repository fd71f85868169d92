"""Owns which columns triggers write when a plan writes to a table, as far as their text shows.

A trigger that keeps `updated_at` changes it in every row that a plan fills. Text only.
"""

import re
from collections.abc import Iterable, Mapping

from shippyard.migration.integrity.model import Changes
from shippyard.migration.said import is_meant

WORD = re.compile(r"\w+")
CALLS = re.compile(r"EXECUTE FUNCTION ([^(]+)\(")
TRIGGER = "trigger "


class Triggers:
    """The words of every function that the tables' triggers call.

    A trigger that the plan makes may write its own rows; others' only one that was there before.
    """

    def __init__(
        self, before: Mapping[str, str], after: Mapping[str, str], expected: Changes
    ) -> None:
        self._old = _words_by_table(before)
        self._new = _words_by_table(after)
        written = {e.table for e in expected.said if e.sets or e.inserts or e.deletes}
        self._written = {
            table
            for table in self._old.keys() | self._new.keys()
            if any(is_meant(each, table) for each in written)
        }

    def written(self, name: str, columns: Iterable[str]) -> frozenset[str]:
        """The columns of one table that triggers may write."""
        plain = name.replace('"', "")
        bare = plain.rpartition(".")[2]
        words: set[str] = set()
        if plain in self._written:
            words |= self._old.get(plain, set()) | self._new.get(plain, set())
        for each in self._written:
            found = self._old.get(each, set())
            words |= found if bare in found else set()
        return frozenset(columns) & words


def _words_by_table(objects: Mapping[str, str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, definition in objects.items():
        if name.startswith(TRIGGER) and (call := CALLS.search(definition)):
            table = name[len(TRIGGER) :].rpartition(".")[0].replace('"', "")
            found.setdefault(table, set()).update(_body(objects, call.group(1)))
    return found


def _body(objects: Mapping[str, str], function: str) -> set[str]:
    full = function if "." in function else f"public.{function}"
    found = (text for name, text in objects.items() if name.startswith(f"function {full}("))
    return {word for text in found for word in WORD.findall(text)}
