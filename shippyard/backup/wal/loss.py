"""Owns until when everything that was committed is held, given how far WAL is held. Pure.

The server is asked now and then how far its WAL is and which transactions it has seen. What we
have up to a position covers every moment at which the server was not yet further; while nothing
commits, nothing can be lost, however far the server's own bookkeeping runs ahead.
"""

from collections import deque
from dataclasses import dataclass, replace
from datetime import datetime

KEPT_MAX = 20_000


@dataclass(frozen=True)
class Sample:
    """At `at` everything committed was before `lsn`; so it was up to `until`, nothing following.

    `snapshot` is PostgreSQL's own word for which transactions have ended.
    """

    at: datetime
    lsn: int
    snapshot: str
    until: datetime


class LossClock:
    """Tells moments by positions; forgets the oldest past a bound."""

    def __init__(self, kept_max: int = KEPT_MAX) -> None:
        self._samples: deque[Sample] = deque(maxlen=kept_max)

    def observe(self, at: datetime, lsn: int, snapshot: str) -> None:
        """The server was asked at `at`."""
        last = self._samples[-1] if self._samples else None
        if last and (last.snapshot == snapshot or last.lsn == lsn):
            self._samples[-1] = replace(last, until=at, snapshot=snapshot)
        else:
            self._samples.append(Sample(at, lsn, snapshot, at))

    def remember(self, at: datetime, lsn: int) -> None:
        """Something known from before: at `at` the server was at `lsn`. Only ever before others."""
        if not self._samples:
            self._samples.append(Sample(at, lsn, "", at))

    def covered_until(self, have: int) -> datetime | None:
        """Up to when everything committed is before `have`; None when that is not known."""
        # Of a copy: others ask while the server is being asked.
        for sample in reversed(tuple(self._samples)):
            if sample.lsn <= have:
                return sample.until
        return None
