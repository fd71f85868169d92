"""Owns what comes before an attempt: how long others' transactions last, and letting old ones go.

Asking for a lock behind an old transaction makes everyone wait behind us; looking makes nobody.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psycopg

from shippyard.host.clock import SystemClock
from shippyard.migration.patience import Patience
from shippyard.migration.waits import HOLDERS_SQL, TRANSACTIONS_SQL, Holder, Spans, ask, holders

LOOKS = 12
LOOKS_WHEN_IDLE = 3
LOOK_EVERY_S = 0.02
WAIT_POLL_S = 0.1
TELL_EVERY_S = 10.0
SHOWN = 5

Tell = Callable[..., None]


class Clearing:
    """Looks at others' transactions through a session of its own thread."""

    def __init__(
        self,
        session: psycopg.Connection[dict[str, Any]],
        patience: Patience,
        pause: threading.Event,
    ) -> None:
        self._session = session
        self._patience = patience
        self._pause = pause
        self._clock = SystemClock()

    def lock_ms(self, attempt: int, *, known: bool) -> int:
        """How long a lock is asked for now, by what others' transactions are seen to take.

        What is older than the longest we would wait is not waited for in this way. As long as it is
        not `known` what will be locked, an old one makes for a short try, which finds that out.
        """
        spans = Spans()
        for number in range(1, LOOKS + 1):
            spans.see(ask(self._session, TRANSACTIONS_SQL), self._now_ms())
            if number >= LOOKS_WHEN_IDLE and not spans.lasted_ms:
                break
            self._pause.wait(LOOK_EVERY_S)
        seen = [each for each in spans.lasted_ms if each <= self._patience.lock_max_ms]
        if not known and len(seen) < len(spans.lasted_ms):
            return self._patience.lock_ms((), 1)
        return self._patience.lock_ms(seen, attempt)

    def wait(self, wanted: Mapping[str, str], lock_ms: float, tell: Tell) -> None:
        """Until nobody older than `lock_ms` is in the way of locks, or patience ends.

        `wanted` is the mode that each relation will be locked in; not known, nobody is waited for.
        """
        spans, told, told_s = Spans(), frozenset[str](), 0.0
        ends_s = self._clock.monotonic() + self._patience.wait_s
        while wanted and (found := self._older(wanted, lock_ms, spans)):
            now_s = self._clock.monotonic()
            new = frozenset(each.transaction for each in found)
            if new - told or now_s - told_s >= TELL_EVERY_S:
                told, told_s = told | new, now_s
                _tell(tell, found)
            if now_s >= ends_s:
                return
            self._pause.wait(WAIT_POLL_S)

    def _older(self, wanted: Mapping[str, str], lock_ms: float, spans: Spans) -> list[Holder]:
        rows = ask(self._session, HOLDERS_SQL, {"relations": list(wanted)})
        found = holders(rows, wanted, spans, self._now_ms())
        return [each for each in found if each.age_ms > lock_ms]

    def _now_ms(self) -> float:
        return self._clock.monotonic() * 1000


def _tell(tell: Tell, found: Sequence[Holder]) -> None:
    first = max(found, key=lambda each: each.age_ms)
    tell(
        "waiting",
        message=f"waiting: {first.said}",
        sessions=[each.document() for each in found[:SHOWN]],
        age_s=round(first.age_ms / 1000, 1),
    )
