"""Owns telling of changes: work that people did, which pages nobody and explains what comes next.

Not pages, so not the outbox: a few are kept in memory, each is tried a few times, and what can't be
told is forgotten. Only routes whose receivers know changes hear of them.
"""

import threading
from collections import deque
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

import structlog

from shippyard.alerting.delivery import Answer
from shippyard.host.clock import Clock
from shippyard.host.pulse import Pulse

WAITING_MAX = 100
ATTEMPTS_MAX = 3
RETRY_S = 5.0
TURN_S = 5.0
STOP_S = 1.0
RESOLVING_S = 60.0
LOOP = "changes"

log = structlog.get_logger(__name__)


@runtime_checkable
class Announcing(Protocol):
    """A route whose receiver knows changes."""

    @property
    def name(self) -> str:
        """Its name in config."""
        ...

    @property
    def timeout_s(self) -> float:
        """How long an attempt may take."""
        ...

    def announce(self, change: Mapping[str, Any], now: datetime) -> Answer:
        """Tell of a change; what can go wrong outside is in the answer, never raised."""
        ...


class Announcer:
    """Changes on their way. `announce` may be called from any thread and never waits."""

    def __init__(self, routes: Iterable[object], clock: Clock, pulse: Pulse) -> None:
        self._routes = [route for route in routes if isinstance(route, Announcing)]
        self._clock = clock
        self._pulse = pulse
        self._waiting: deque[Mapping[str, Any]] = deque(maxlen=WAITING_MAX)
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=LOOP, daemon=True)

    def announce(self, change: Mapping[str, Any]) -> None:
        """Tell of it soon; where nobody wants to hear of changes it is nothing."""
        if self._routes:
            self._waiting.append(change)
            self._wake.set()

    def start(self) -> None:
        """Begin, where there is anybody to tell; a second start does nothing."""
        if self._routes and self._thread.ident is None and not self._stopping.is_set():
            self._thread.start()

    def stop(self) -> None:
        """End soon; what waits is forgotten."""
        self._stopping.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(STOP_S)
        self._pulse.forget(LOOP)

    def _run(self) -> None:
        slowest_s = sum(route.timeout_s for route in self._routes)
        limit_s = ATTEMPTS_MAX * (slowest_s + RETRY_S) + RESOLVING_S
        beat = self._pulse.register(LOOP, limit_s)
        while not self._stopping.is_set():
            beat()
            self._wake.wait(TURN_S)
            self._wake.clear()
            while self._waiting and not self._stopping.is_set():
                beat()
                self._tell_all(self._waiting.popleft())
        self._pulse.forget(LOOP)

    def _tell_all(self, change: Mapping[str, Any]) -> None:
        for route in self._routes:
            try:
                self._tell(route, change)
            except Exception:
                log.exception("change.turn_failed", route=route.name)

    def _tell(self, route: Announcing, change: Mapping[str, Any]) -> None:
        answer = Answer("unreachable", "stopped before")
        for _ in range(ATTEMPTS_MAX):
            answer = route.announce(change, self._clock.now())
            if answer.kind in ("sent", "rejected") or self._stopping.wait(RETRY_S):
                break
        say = log.info if answer.kind == "sent" else log.warning
        say("change.told", route=route.name, change=change["summary"], answer=answer.detail)
