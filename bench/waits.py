"""Owns how long application statements were blocked, as the server itself wrote it down.

With log_lock_waits PostgreSQL logs each wait for a lock that lasts longer than deadlock_timeout:
who is in front when that time is up, and how long it was in the end. Set for the application's role
only, so that the sessions that change the schema behave as they do elsewhere.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.samples import Statement

# Settings of the application's role; shorter waits are not seen.
SHORTEST_MS = 10
ROLE_SETTINGS = {"log_lock_waits": "on", "deadlock_timeout": f"{SHORTEST_MS}ms"}
SERVER_SETTINGS = {"log_line_prefix": "%n [%p] "}

# The log's clock is cut off to milliseconds, and is read when the wait is over.
CLOCK_S = 0.005

DETAIL = re.compile(
    r"^[\d.]+ \[(\d+)\] DETAIL:  Process\w* holding the lock: (.*)\. Wait queue: (.*)\."
)
GOT = re.compile(
    r"^([\d.]+) \[(\d+)\] LOG:  process \d+ acquired (\w+) on (\w+) .* after ([\d.]+) ms"
)


GAVE_UP = re.compile(r"^([\d.]+) \[\d+\] ERROR:  canceling statement due to lock timeout")


@dataclass(frozen=True)
class Wait:
    """One wait for one lock. `ahead` are the sessions that held it or stood in line before us."""

    pid: int
    ended: float
    took_ms: float
    what: str
    ahead: frozenset[int]

    def meets(self, other: "Wait") -> bool:
        """Whether both waited at the same moment."""
        return self.begun < other.ended and other.begun < self.ended

    @property
    def begun(self) -> float:
        """Seconds since 1970."""
        return self.ended - self.took_ms / 1000


@dataclass(frozen=True)
class Log:
    """What the server wrote down: every wait that ended, and when a lock was not got in time."""

    waits: tuple[Wait, ...]
    lock_timeouts: tuple[float, ...]


@dataclass(frozen=True)
class Blocked:
    """One statement, how long it was blocked in all, and whether by a change or by its like."""

    statement: Statement
    took_ms: float
    by_change: bool
    what: str


def read_log(file: Path) -> Log:
    """What there is of that in the server's log."""
    ahead: dict[int, frozenset[int]] = {}
    waits, given_up = [], []
    with file.open(errors="replace") as lines:
        for line in lines:
            if said := DETAIL.match(line):
                ahead[int(said[1])] = _ahead(int(said[1]), said[2], said[3])
            elif said := GOT.match(line):
                pid = int(said[2])
                before = ahead.pop(pid, frozenset())
                what = f"{said[3]} on a {said[4]}"
                waits.append(Wait(pid, float(said[1]), float(said[5]), what, before))
            elif said := GAVE_UP.match(line):
                given_up.append(float(said[1]))
    return Log(tuple(waits), tuple(given_up))


def blocked(statements: Sequence[Statement], waits: Iterable[Wait]) -> list[Blocked]:
    """The statements that waited for locks, each with the sum of its waits."""
    by_pid: dict[int, list[Wait]] = defaultdict(list)
    for wait in waits:
        by_pid[wait.pid].append(wait)
    by_change = _by_change(by_pid, {each.pid for each in statements})
    found = (_blocked(each, by_pid[each.pid], by_change) for each in statements)
    return [each for each in found if each is not None]


def _by_change(by_pid: Mapping[int, list[Wait]], application: set[int]) -> set[Wait]:
    """Waits for somebody who is not the application, and for those who wait for such a one."""
    own = [wait for pid in application for wait in by_pid[pid]]
    known = {wait for wait in own if not wait.ahead <= application}
    while more := {
        wait
        for wait in own
        if wait not in known
        and any(other in known and other.meets(wait) for pid in wait.ahead for other in by_pid[pid])
    }:
        known |= more
    return known


def _blocked(
    statement: Statement, waits: Sequence[Wait], by_change: Collection[Wait]
) -> Blocked | None:
    first, last = statement.started - CLOCK_S, statement.ended + CLOCK_S
    own = [wait for wait in waits if first <= wait.ended <= last]
    if not own:
        return None
    longest = max(own, key=lambda wait: wait.took_ms)
    changed = any(wait in by_change for wait in own)
    return Blocked(statement, sum(wait.took_ms for wait in own), changed, longest.what)


def _ahead(pid: int, holders: str, line: str) -> frozenset[int]:
    """Whoever holds it, and whoever asked for it before this one."""
    queue = [int(each) for each in line.split(", ")]
    before = queue[: queue.index(pid)] if pid in queue else queue
    return frozenset([*map(int, holders.split(", ")), *before])
