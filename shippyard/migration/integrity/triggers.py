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
    """The words of every function that the tables' triggers call."""

    def __init__(self, objects: Mapping[str, str], expected: Changes) -> None:
        self._words: dict[str, set[str]] = {}
        for name, definition in objects.items():
            if name.startswith(TRIGGER) and (call := CALLS.search(definition)):
                table = name[len(TRIGGER) :].rpartition(".")[0].replace('"', "")
                self._words.setdefault(table, set()).update(_body(objects, call.group(1)))
        written = {
            each.table for each in expected.said if each.sets or each.inserts or each.deletes
        }
        self._written = {t for t in self._words if any(is_meant(w, t) for w in written)}

    def written(self, name: str, columns: Iterable[str]) -> frozenset[str]:
        """The columns of one table that triggers may write."""
        plain = name.replace('"', "")
        bare = plain.rpartition(".")[2]
        words = (
            self._words[each]
            for each in self._written
            if each == plain or bare in self._words[each]
        )
        return frozenset(columns) & frozenset[str]().union(*words)


def _body(objects: Mapping[str, str], function: str) -> set[str]:
    full = function if "." in function else f"public.{function}"
    found = (text for name, text in objects.items() if name.startswith(f"function {full}("))
    return {word for text in found for word in WORD.findall(text)}
