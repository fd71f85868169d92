"""Owns what is said of a backfill while it works: how far, how fast, how long still."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from shippyard.host.clock import Clock
from shippyard.migration.backfill.checkpoint import Checkpoint, share

EVERY_S = 3.0

Tell = Callable[[Mapping[str, Any]], None]

log = logging.getLogger("shippyard.migration.backfill")


def to_log(fields: Mapping[str, Any]) -> None:
    """Progress as lines of a log."""
    log.info("%s", fields["message"])


class Reporter:
    """Tells every few seconds how one worker's backfill stands."""

    def __init__(self, clock: Clock, tell: Tell, begun: Checkpoint) -> None:
        self._clock = clock
        self._tell = tell
        self._begun_s = self._told_s = clock.monotonic()
        self._done = 0
        self._last = begun

    def moved(self, checkpoint: Checkpoint) -> None:
        """A batch is done."""
        if checkpoint.round == self._last.round:
            self._done += checkpoint.seen - self._last.seen
        self._last = checkpoint
        now_s = self._clock.monotonic()
        if now_s - self._told_s >= EVERY_S:
            self._told_s = now_s
            self._tell(standing(checkpoint, self._done / (now_s - self._begun_s)))

    def done(self, checkpoint: Checkpoint) -> None:
        """Nothing is left."""
        elapsed_s = round(self._clock.monotonic() - self._begun_s, 1)
        said = f"{checkpoint.spec.name}: {checkpoint.rows:,} rows filled, {elapsed_s:g} s"
        self._tell({**_fields(checkpoint), "message": said})


def standing(checkpoint: Checkpoint, rows_s: float) -> dict[str, Any]:
    """How it stands, in fields and in a sentence. `rows_s` is rows gone past per second."""
    left_s = None
    if checkpoint.estimate and rows_s:
        left_s = max(checkpoint.estimate - checkpoint.seen, 0) / rows_s
    said = f"{checkpoint.spec.name}: {share(checkpoint.seen, checkpoint.estimate)}"
    said += f", {rows_s:,.0f} rows/s"
    if checkpoint.round > 1:
        said += ", looking for rows that came meanwhile"
    elif left_s is not None:
        said += f", about {left_s:.0f} s left"
    return {**_fields(checkpoint), "rows_s": round(rows_s), "left_s": left_s, "message": said}


def _fields(checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "backfill": checkpoint.spec.name,
        "rows": checkpoint.rows,
        "seen": checkpoint.seen,
        "estimate": checkpoint.estimate,
    }
