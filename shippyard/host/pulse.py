"""Owns knowing whether the daemon's loops turn.

A loop beats each time round, whether or not its work succeeded: PostgreSQL being down must not
look like a hung daemon. The watchdog is fed while every registered loop is fresh.
"""

import threading
from collections.abc import Callable

from shippyard.host.clock import Clock


class Pulse:
    """The last beat of every loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._beats: dict[str, tuple[float, float]] = {}

    def register(self, loop: str, limit_s: float) -> Callable[[], None]:
        """A beat for `loop`: from the first one on, it is expected at least every `limit_s`.

        What was built and never started is not expected to turn.
        """

        def beat() -> None:
            with self._lock:
                self._beats[loop] = (self._clock.monotonic(), limit_s)

        return beat

    def forget(self, loop: str) -> None:
        """Stop expecting a loop that ended on purpose."""
        with self._lock:
            self._beats.pop(loop, None)

    def stuck(self) -> list[str]:
        """Names of loops that missed their limit, sorted."""
        now = self._clock.monotonic()
        with self._lock:
            return sorted(n for n, (at, limit_s) in self._beats.items() if now - at > limit_s)
