"""Owns who held which lock since when and until when, from one look to the next. Pure.

Between two looks it takes the middle of what the session's own times leave open. Knows relations by
number only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from shippyard.migration.recording.observing import BEGINS, Activity, Observation, Seen
from shippyard.migration.recording.pauses import Pauses

HOLDINGS_MAX = 20_000
SESSION_MODE = "ShareUpdateExclusiveLock"
"""Concurrent commands hold it over several transactions of one statement."""
ENDING = "/0"
"""How a transaction's number ends that is over but for its locks."""


@dataclass(frozen=True)
class Holding:
    """One lock that one transaction had; seconds since 1970, without those it waited for us."""

    oid: int
    mode: str
    since_s: float
    until_s: float
    revision: str | None

    @property
    def held_s(self) -> float:
        """How long."""
        return self.until_s - self.since_s


@dataclass(frozen=True)
class _Open:
    transaction: str
    statement: tuple[int, float]
    since_s: float
    revision: str | None


_Key = tuple[int, int, str]


class Holdings:
    """Builds holdings from looks. `revision` is the one that runs now."""

    def __init__(self, pauses: Pauses) -> None:
        self._pauses = pauses
        self.revision: str | None = None
        self.merged = 0
        self._open: dict[_Key, _Open] = {}
        self._closed: list[Holding] = []
        self._longest: dict[tuple[int, str, str | None], Holding] = {}
        self._commands: dict[int, int] = {}

    def observe(self, look: Observation) -> None:
        """Take in one look, later than all before; the pauses know it."""
        for knock in look.knocks:
            begins = knock.why == BEGINS
            self._commands[knock.pid] = self._commands.get(knock.pid, 0) + begins
        sessions = {each.pid: each for each in look.sessions}
        now = {(seen.pid, seen.oid, seen.mode): seen for seen in look.locks}
        for key in [key for key in self._open if not self._goes_on(key, now, sessions)]:
            self._close(key, self._until_s(key[0], look, sessions.get(key[0])))
        for key, seen in now.items():
            kept = self._open.get(key)
            self._open[key] = (
                self._kept(kept, seen) if kept else self._begun(seen, look, sessions.get(seen.pid))
            )

    def held(self, at_s: float) -> list[Holding]:
        """All that ended, and what is still held as if it ended at `at_s`; oldest first."""
        still = [
            _holding(key, each, at_s - self._pauses.waited_s(key[0]))
            for key, each in self._open.items()
        ]
        held = [*self._closed, *self._longest.values(), *still]
        return sorted(held, key=lambda each: (each.since_s, each.oid, each.mode))

    def _goes_on(
        self, key: _Key, now: Mapping[_Key, Seen], sessions: Mapping[int, Activity]
    ) -> bool:
        seen, opened = now.get(key), self._open[key]
        if seen is None:
            return False
        if seen.transaction == opened.transaction or seen.transaction.endswith(ENDING):
            return True
        return seen.mode == SESSION_MODE and opened.statement == self._statement(
            seen.pid, sessions.get(seen.pid)
        )

    def _kept(self, opened: _Open, seen: Seen) -> _Open:
        ending = seen.transaction.endswith(ENDING)
        transaction = opened.transaction if ending else seen.transaction
        return replace(opened, transaction=transaction, revision=opened.revision or self.revision)

    def _begun(self, seen: Seen, look: Observation, session: Activity | None) -> _Open:
        statement = self._statement(seen.pid, session)
        since_s = self._since_s(seen.pid, look, session)
        return _Open(seen.transaction, statement, since_s, self.revision)

    def _statement(self, pid: int, session: Activity | None) -> tuple[int, float]:
        return self._commands.get(pid, 0), session.began_s if session else 0.0

    def _since_s(self, pid: int, look: Observation, session: Activity | None) -> float:
        """Between what the session did last and, where it waits for us already, that."""
        holds_s = self._pauses.holds_since_s(pid)
        first_s = self._earliest_s(pid, look, session)
        last_s = holds_s if holds_s is not None and holds_s > first_s else look.at_s
        return (first_s + last_s) / 2 - self._pauses.waited_s(pid)

    def _until_s(self, pid: int, look: Observation, session: Activity | None) -> float:
        """When its session came to rest, or else before what it does now began."""
        waited_s = self._pauses.waited_s(pid)
        if session and session.state == "idle" and _between(look, session.changed_s):
            return session.changed_s - waited_s
        began_s = session.began_s if session else 0.0
        last_s = began_s if _between(look, began_s) else look.at_s
        first_s = self._pauses.let_in_s(pid)
        first_s = first_s if look.before_s < first_s < last_s else look.before_s
        return (first_s + last_s) / 2 - waited_s

    def _earliest_s(self, pid: int, look: Observation, session: Activity | None) -> float:
        began_s = session.began_s if session else 0.0
        times_s = (look.before_s, began_s, self._pauses.let_in_s(pid))
        return max(each for each in times_s if each <= look.at_s)

    def _close(self, key: _Key, until_s: float) -> None:
        holding = _holding(key, self._open.pop(key), until_s)
        if len(self._closed) < HOLDINGS_MAX:
            self._closed.append(holding)
            return
        # Beyond the bound only the longest of each kind is kept.
        self.merged += 1
        kind = (holding.oid, holding.mode, holding.revision)
        known = self._longest.get(kind, holding)
        self._longest[kind] = max(known, holding, key=lambda each: each.held_s)


def _holding(key: _Key, opened: _Open, until_s: float) -> Holding:
    _, oid, mode = key
    return Holding(oid, mode, opened.since_s, max(opened.since_s, until_s), opened.revision)


def _between(look: Observation, at_s: float) -> bool:
    return look.before_s < at_s < look.at_s
