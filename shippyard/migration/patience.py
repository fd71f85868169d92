"""Owns how long a lock is asked for, and how long to pause before it is asked for again. Pure.

Whoever waits for a lock makes others wait behind it. So it waits no longer than the application's
own transactions take, which is when a lock falls free; and more with each failure, within bounds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

SEEN_QUANTILE = 0.95
TIMES_SEEN = 2.0
"""A lock is asked for as long as most transactions take, twice."""
GROWTH = 1.5
"""After each failure lock and pause get longer by as much."""
PAUSE_GROWTH_MAX = 3.0
JITTER = (0.5, 1.5)
STATEMENT_MIN_S = 10.0
STATEMENT_TIMES = 10.0
WATCHDOG_ATTEMPTS = 3


@dataclass(frozen=True)
class Patience:
    """The bounds: from how long to how long a lock is asked for, and how often."""

    lock_min_ms: int
    lock_max_ms: int
    attempts: int
    pause_s: float

    def lock_ms(self, seen_ms: Sequence[float], attempt: int) -> int:
        """How long the lock is asked for in an attempt (from 1), by transactions that were seen."""
        least = min(self.lock_min_ms, self.lock_max_ms)
        wanted = TIMES_SEEN * _quantile(seen_ms, SEEN_QUANTILE)
        grown = max(wanted, least) * GROWTH ** (attempt - 1)
        return int(min(max(grown, least), self.lock_max_ms))

    def pause_after_s(self, attempt: int, luck: float) -> float:
        """How long to leave everyone alone after a failure; `luck` is between 0 and 1.

        Without jitter a periodic transaction would be met each time.
        """
        longer = min(GROWTH ** (attempt - 1), PAUSE_GROWTH_MAX)
        low, high = JITTER
        return self.pause_s * longer * (low + (high - low) * luck)

    @property
    def wait_s(self) -> float:
        """How long to wait for an old transaction to go away before knocking all the same."""
        return self.attempts * self.pause_s

    def is_last(self, attempt: int, cancelled: int) -> bool:
        """Nothing is tried for ever, and least what was in others' way `cancelled` times."""
        return attempt >= self.attempts or cancelled >= WATCHDOG_ATTEMPTS


def statement_timeout_s(expected_s: float | None, longest_s: float) -> float:
    """How long one statement may take: by its rehearsal, where there was one."""
    if expected_s is None:
        return longest_s
    return min(longest_s, max(STATEMENT_MIN_S, STATEMENT_TIMES * expected_s))


def _quantile(values: Sequence[float], share: float) -> float:
    if not values:
        return 0.0
    return sorted(values)[ceil(share * len(values)) - 1]
