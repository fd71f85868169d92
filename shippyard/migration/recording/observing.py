"""Owns what the watcher tells: one look at watched sessions and their locks, parsed once. Pure."""

import json
from dataclasses import dataclass
from typing import Any

BEGINS = 1
LETS_GO = 2
ASKED = 3
"""Why somebody knocks: a command begins, it is about to let go of its locks, or we ask."""

INT_BITS = 32


@dataclass(frozen=True)
class Seen:
    """One granted lock of a relation. `transaction` is the virtual one that its session is in."""

    pid: int
    transaction: str
    oid: int
    mode: str


@dataclass(frozen=True)
class Activity:
    """One watched session; times are seconds since 1970, `text` is its last statement."""

    pid: int
    state: str
    began_s: float
    changed_s: float
    query_id: int | None
    text: str


@dataclass(frozen=True)
class Knock:
    """One session that waits for us since `since_s`, and why."""

    pid: int
    why: int
    since_s: float


@dataclass(frozen=True)
class Observation:
    """One look at `at_s`; nothing is known of the time between it and `before_s`.

    `told_s` is when it was sent. `rewrites` are relations that are about to be rewritten, `opened`
    says why those had knocked who were let in last, at `opened_s`. `late` counts looks that came
    too late, so far.
    """

    before_s: float
    at_s: float
    told_s: float
    locks: frozenset[Seen]
    sessions: tuple[Activity, ...]
    knocks: frozenset[Knock]
    rewrites: frozenset[int]
    opened: frozenset[int]
    opened_s: float
    late: int


def parse(notice: str) -> Observation:
    """What one notice of the watcher says.

    Raises:
        ValueError: it is none of the watcher's.
    """
    try:
        told = json.loads(notice)
        return Observation(
            before_s=told["before"],
            at_s=told["at"],
            told_s=told["told"],
            locks=frozenset(_seen(each) for each in _items(told["locks"])),
            sessions=tuple(_activity(each) for each in told["sessions"]),
            knocks=frozenset(_knock(each, told["at"]) for each in _items(told["knocks"])),
            rewrites=frozenset(int(each) % 2**INT_BITS for each in _items(told["rewrites"])),
            opened=frozenset(told["opened"]),
            opened_s=told["opened_at"] or 0.0,
            late=told["late"],
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"not what the watcher says: {error}") from None


def _items(joined: str) -> list[str]:
    return joined.split(",") if joined else []


def _seen(item: str) -> Seen:
    pid, transaction, oid, mode = item.split(" ")
    return Seen(int(pid), transaction, int(oid), mode)


def _knock(item: str, at_s: float) -> Knock:
    """For a moment the server does not say since when somebody waits."""
    pid, why, *since_s = item.split(" ")
    return Knock(int(pid), int(why), float(since_s[0]) if since_s else at_s)


def _activity(item: list[Any]) -> Activity:
    """A session that has only just come has no statement yet."""
    pid, state, began_s, changed_s, query_id, text = item
    return Activity(pid, state or "", began_s or 0.0, changed_s or 0.0, query_id, text or "")
