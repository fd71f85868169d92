"""Owns how long sessions waited for us: that is no part of what they would have taken. Pure."""

from collections import defaultdict

from shippyard.migration.recording.observing import LETS_GO, Knock, Observation


class Pauses:
    """Adds up, from one look to the next, how long each session was kept waiting."""

    def __init__(self) -> None:
        self._waited_s: defaultdict[int, float] = defaultdict(float)
        self._let_in_s: dict[int, float] = {}
        self._knocking: frozenset[Knock] = frozenset()
        self._opened_s = 0.0

    def observe(self, look: Observation) -> None:
        """Take in one look, later than all before."""
        if look.opened_s > self._opened_s:
            self._opened_s = look.opened_s
            for knock in self._knocking:
                if knock.why in look.opened:
                    self._waited_s[knock.pid] += max(0.0, look.opened_s - knock.since_s)
                    self._let_in_s[knock.pid] = look.opened_s
        self._knocking = look.knocks

    def waited_s(self, pid: int) -> float:
        """How long a session waited for us until now."""
        return self._waited_s[pid]

    def let_in_s(self, pid: int) -> float:
        """When it went on after it had knocked last; 0 when it never did."""
        return self._let_in_s.get(pid, 0.0)

    def holds_since_s(self, pid: int) -> float | None:
        """Since when it waits for us to see its locks; None when it does not."""
        since = [k.since_s for k in self._knocking if k.pid == pid and k.why == LETS_GO]
        return min(since, default=None)
