"""Owns how a runner hears that it is to stop, and that it says a last word in time.

Knows nothing of what it does meanwhile.
"""

import os
import signal
import threading
from collections.abc import Mapping
from types import FrameType
from typing import Any, NoReturn

from shippyard.migration.child import Emit

LAST_WORD_WITHIN_S = 2.5

told_to_stop = threading.Event()


class Interrupted(KeyboardInterrupt):
    """SIGTERM came. psycopg takes a KeyboardInterrupt as a reason to cancel what it waits for."""


class LastWord:
    """Says how it ended, once. After SIGTERM it is said in time, whatever the rest still does."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._lock = threading.Lock()

    def say(self, document: Mapping[str, Any]) -> None:
        """The first one counts."""
        if self._lock.acquire(blocking=False):
            self._emit(document)

    def listen(self) -> None:
        """From now on SIGTERM interrupts the main thread."""
        signal.signal(signal.SIGTERM, self._interrupt)

    def _interrupt(self, number: int, _: FrameType | None) -> NoReturn:
        told_to_stop.set()
        # once is enough: the rollback must not be interrupted
        signal.signal(number, signal.SIG_IGN)
        end = threading.Timer(LAST_WORD_WITHIN_S, self._end)
        end.daemon = True
        end.start()
        raise Interrupted

    def _end(self) -> None:
        """A server that gives no answer is left: it rolls back what has lost its client."""
        if self._lock.acquire(blocking=False):
            self._emit({"event": "interrupted"})
            os._exit(0)
