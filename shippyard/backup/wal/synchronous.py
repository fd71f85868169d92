"""Owns whether commits can wait for our WAL without hanging: loss zero, and what it takes. Pure.

With `synchronous_standby_names` a commit waits until a receiver has flushed it. With one receiver,
stopping it stops every commit; so there must be two, one of them on another host.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shippyard.backup.wal.receive import APPLY, NEVER_APPLIED

_QUORUM = re.compile(r"(?:(?:FIRST|ANY)\s+)?(\d+)\s*\((.*)\)\s*", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Line:
    """One thing that must hold, as a person reads it, and whether it does."""

    ok: bool
    text: str


@dataclass(frozen=True)
class Standbys:
    """What `synchronous_standby_names` says: how many must answer, of which."""

    needed: int
    names: tuple[str, ...]

    def lists(self, name: str) -> bool:
        """Whether a receiver of that name is waited for."""
        return name in self.names or "*" in self.names


def parse_standbys(setting: str) -> Standbys:
    """The setting, parsed; without names when it is empty."""
    match = _QUORUM.fullmatch(setting.strip())
    needed, listed = (int(match[1]), match[2]) if match else (1, setting)
    names = tuple(name.strip().strip('"') for name in listed.split(",") if name.strip())
    return Standbys(needed if names else 0, names)


def check(row: Mapping[str, Any], *, ours: str, second: str) -> list[Line]:
    """What loss zero needs, from the one row of synchronous.sql.

    `ours` is our receiver's application_name (its slot), `second` that of the other one.
    """
    standbys = parse_standbys(str(row["synchronous_standby_names"]))
    commit = str(row["synchronous_commit"])
    return [
        _commit(commit),
        *(_listed(standbys, name) for name in (ours, second)),
        _spare(standbys),
        _connected(row["receivers"], ours),
        _elsewhere(row["receivers"], second),
    ]


def _commit(commit: str) -> Line:
    if commit == APPLY:
        return Line(ok=False, text=NEVER_APPLIED)
    if commit not in ("on", "remote_write"):
        return Line(ok=False, text=f"synchronous_commit is {commit}: no commit waits; set it to on")
    return Line(ok=True, text=f"synchronous_commit is {commit}")


def _listed(standbys: Standbys, name: str) -> Line:
    if standbys.lists(name):
        return Line(ok=True, text=f"synchronous_standby_names lists {name}")
    return Line(
        ok=False, text=f"synchronous_standby_names does not list {name}: set 'ANY 1 (a, b)'"
    )


def _spare(standbys: Standbys) -> Line:
    if len(standbys.names) >= standbys.needed + 1 or "*" in standbys.names:
        return Line(ok=True, text="one receiver may stop without a commit hanging")
    return Line(
        ok=False,
        text="with one receiver stopped every commit hangs: list two and wait for any one of them",
    )


def _connected(receivers: Sequence[Mapping[str, Any]], name: str) -> Line:
    if any(each["name"] == name for each in receivers):
        return Line(ok=True, text=f"{name} receives")
    return Line(ok=False, text=f"{name} does not receive now: start shippyard-wal@")


def _elsewhere(receivers: Sequence[Mapping[str, Any]], name: str) -> Line:
    found = [each for each in receivers if each["name"] == name]
    if not found:
        return Line(ok=False, text=f"the second receiver {name} does not receive now; start it")
    if all(each["is_local"] for each in found):
        return Line(
            ok=False,
            text=f"the second receiver {name} is on the server's own host: both would be lost",
        )
    return Line(ok=True, text=f"the second receiver {name} is at {found[0]['address']}")
