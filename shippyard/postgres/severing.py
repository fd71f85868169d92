"""Owns cutting off what outlives its limit: one thread watches all queries in flight.

A timer of its own for each query would be a thread for each, which costs more than most queries.
Knows nothing of connections: it is told what to do when the time is up.
"""

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator

LOOK_EVERY_S = 0.5
"""Something is cut so much late at most."""
IDLE_LOOKS = 20
"""After so many looks at nothing the thread ends; the next query begins another."""


class Severing:
    """What is watched, and until when. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids = itertools.count()
        self._watched: dict[int, tuple[float, Callable[[], None]]] = {}
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def after(self, limit_s: float, cut: Callable[[], None]) -> Iterator[None]:
        """Call `cut` from another thread, once, should the block take longer than this."""
        number = next(self._ids)
        with self._lock:
            self._watched[number] = (time.monotonic() + limit_s, cut)
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="severing", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._watched.pop(number, None)

    def _look(self) -> None:
        idle = 0
        while True:
            time.sleep(LOOK_EVERY_S)
            with self._lock:
                idle = 0 if self._watched else idle + 1
                if idle > IDLE_LOOKS:
                    self._thread = None
                    return
                overdue = self._overdue()
            for cut in overdue:
                cut()

    def _overdue(self) -> list[Callable[[], None]]:
        now = time.monotonic()
        numbers = [number for number, (until, _) in self._watched.items() if until <= now]
        return [self._watched.pop(number)[1] for number in numbers]
