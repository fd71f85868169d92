"""Owns telling again what still holds, for receivers that forget: one thread for each such route.

Beside the outbox, which tells what happened, and in order: this tells how things stand, so that a
receiver that lost its memory has it back within half a minute. What fails here is tried next time.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

import structlog

from shippyard.alerting.delivery import Answer
from shippyard.host.clock import Clock
from shippyard.host.pulse import Pulse

STOP_S = 1.0
RESOLVING_S = 60.0

log = structlog.get_logger(__name__)


@runtime_checkable
class Forgetful(Protocol):
    """A route whose receiver has to be told again."""

    @property
    def name(self) -> str:
        """Its name in config."""
        ...

    @property
    def timeout_s(self) -> float:
        """How long an attempt may take."""
        ...

    @property
    def refresh_every_s(self) -> float:
        """How often it is told again."""
        ...

    def refresh(self, messages: Sequence[Mapping[str, Any]], now: datetime) -> Answer:
        """Tell how these stand; what can go wrong outside is in the answer, never raised."""
        ...


class Mirror:
    """Keeps one route's receiver in the picture. `snapshot` gives the messages that hold now."""

    def __init__(
        self,
        route: Forgetful,
        snapshot: Callable[[str], Sequence[Mapping[str, Any]]],
        clock: Clock,
        pulse: Pulse,
    ) -> None:
        self._route = route
        self._snapshot = snapshot
        self._clock = clock
        self._pulse = pulse
        self._loop = f"mirror:{route.name}"
        self._stopping = threading.Event()
        self._was_taken = True
        self._thread = threading.Thread(target=self._run, name=self._loop, daemon=True)

    def start(self) -> None:
        """Begin; a second start, or one after a stop, does nothing."""
        if self._thread.ident is None and not self._stopping.is_set():
            self._thread.start()

    def stop(self) -> None:
        """End soon; an attempt in flight is left behind."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(STOP_S)
        self._pulse.forget(self._loop)

    def _run(self) -> None:
        limit_s = self._route.refresh_every_s + self._route.timeout_s + RESOLVING_S
        beat = self._pulse.register(self._loop, limit_s)
        while not self._stopping.is_set():
            beat()
            try:
                self._tell()
            except Exception:
                log.exception("mirror.turn_failed", route=self._route.name)
            self._stopping.wait(self._route.refresh_every_s)
        self._pulse.forget(self._loop)

    def _tell(self) -> None:
        messages = self._snapshot(self._route.name)
        if not messages:
            return
        answer = self._route.refresh(messages, self._clock.now())
        is_taken = answer.kind == "sent"
        if is_taken != self._was_taken:
            say = log.info if is_taken else log.warning
            say("mirror.answered", route=self._route.name, answer=answer.detail)
        self._was_taken = is_taken
