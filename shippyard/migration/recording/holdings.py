"""Owns who held which lock since when and until when, from one look to the next. Pure.

Between two looks it takes the middle, or the moment that the session's own times give. Knows
relations by number only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from shippyard.migration.recording.observing import BEGINS, Activity, Observation, Seen

HOLDINGS_MAX = 20_000
SESSION_MODE = "ShareUpdateExclusiveLock"
"""Concurrent commands hold it over several transactions of one statement."""


@dataclass(frozen=True)
class Holding:
    """One lock that one transaction had; seconds since 1970."""

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

    def __init__(self) -> None:
        self.revision: str | None = None
        self.merged = 0
        self._open: dict[_Key, _Open] = {}
        self._closed: list[Holding] = []
        self._longest: dict[tuple[int, str, str | None], Holding] = {}
        self._commands: dict[int, int] = {}

    def observe(self, look: Observation) -> None:
        """Take in one look, later than all before."""
        for pid, why in look.knocks:
            self._commands[pid] = self._commands.get(pid, 0) + (why == BEGINS)
        sessions = {each.pid: each for each in look.sessions}
        now = {(seen.pid, seen.oid, seen.mode): seen for seen in look.locks}
        for key in [key for key in self._open if not self._goes_on(key, now, sessions)]:
            self._close(key, _until(look, sessions.get(key[0])))
        for key, seen in now.items():
            kept = self._open.get(key)
            self._open[key] = (
                replace(kept, transaction=seen.transaction, revision=kept.revision or self.revision)
                if kept
                else self._begun(seen, look, sessions.get(seen.pid))
            )

    def held(self, at_s: float) -> list[Holding]:
        """All that ended, and what is still held as if it ended at `at_s`; oldest first."""
        still = [_holding(key, each, at_s) for key, each in self._open.items()]
        held = [*self._closed, *self._longest.values(), *still]
        return sorted(held, key=lambda each: (each.since_s, each.oid, each.mode))

    def _goes_on(
        self, key: _Key, now: Mapping[_Key, Seen], sessions: Mapping[int, Activity]
    ) -> bool:
        seen, opened = now.get(key), self._open[key]
        if seen is None:
            return False
        if seen.transaction == opened.transaction:
            return True
        return seen.mode == SESSION_MODE and opened.statement == self._statement(
            seen.pid, sessions.get(seen.pid)
        )

    def _begun(self, seen: Seen, look: Observation, session: Activity | None) -> _Open:
        statement = self._statement(seen.pid, session)
        return _Open(seen.transaction, statement, _since(look, session), self.revision)

    def _statement(self, pid: int, session: Activity | None) -> tuple[int, float]:
        return self._commands.get(pid, 0), session.began_s if session else 0.0

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


def _since(look: Observation, session: Activity | None) -> float:
    """Not before the statement that runs now, if that began after the last look."""
    began_s = session.began_s if session else 0.0
    earliest_s = began_s if look.before_s < began_s < look.at_s else look.before_s
    return (earliest_s + look.at_s) / 2


def _until(look: Observation, session: Activity | None) -> float:
    """When its session came to rest, or else before what it does now began."""
    if session and session.state == "idle" and look.before_s < session.changed_s < look.at_s:
        return session.changed_s
    began_s = session.began_s if session else 0.0
    latest_s = began_s if look.before_s < began_s < look.at_s else look.at_s
    return (look.before_s + latest_s) / 2
