"""Owns what a database's schema consists of, object by object, in words that can be compared.

A text dump differs by version, order and a column's place; this differs where the schema does.
Knows nothing of how it should be. Rights and owners are not part of it: `shippyard bootstrap` has
those.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Ask = Callable[[str], Sequence[Mapping[str, Any]]]

SHOWN_MAX_CHARS = 160

# Defaults are written down in the session's own manner.
_PLAIN_SETTINGS_SQL = """
SELECT set_config('TimeZone', 'UTC', false), set_config('DateStyle', 'ISO, YMD', false),
    set_config('IntervalStyle', 'postgres', false)
"""
_OBJECTS_SQL = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Difference:
    """One object that is not the same in two schemas; None where it is missing."""

    name: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        if self.before is None:
            return f"+ {self.name}: {_shown(self.after)}"
        if self.after is None:
            return f"- {self.name}: {_shown(self.before)}"
        return f"~ {self.name}: {_shown(self.before)} → {_shown(self.after)}"


def read_objects(ask: Ask) -> dict[str, str]:
    """Every object by kind and name (`column public.users.id`), with its definition.

    `ask` is a session's `query`, whose search path is pg_catalog's alone; how it writes moments
    down is set for good. The text of a view may differ from one major to another.
    """
    ask(_PLAIN_SETTINGS_SQL)
    return {str(row["name"]): str(row["definition"]) for row in ask(_OBJECTS_SQL)}


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[Difference, ...]:
    """What is not the same, by name."""
    return tuple(
        Difference(name, before.get(name), after.get(name))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    )


def fingerprint(objects: Mapping[str, str]) -> str:
    """Names a schema: the same objects, the same fingerprint, on any server of one major."""
    return hashlib.sha256(json.dumps(dict(objects), sort_keys=True).encode()).hexdigest()


def _shown(definition: str | None) -> str:
    line = " ".join((definition or "").split())
    return line if len(line) <= SHOWN_MAX_CHARS else f"{line[: SHOWN_MAX_CHARS - 1]}…"
