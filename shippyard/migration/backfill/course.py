"""Owns one worker's way through a table: its pace, and what makes it wait.

Refuses to know where it begins and what is done at the end.
"""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from sqlalchemy.exc import DBAPIError

from shippyard.host.clock import Clock
from shippyard.migration.backfill.batch import CheckpointMoved, Range, change, next_range
from shippyard.migration.backfill.checkpoint import Checkpoint
from shippyard.migration.backfill.keys import Table
from shippyard.migration.backfill.server import LOCK_NOT_FREE, Server, sqlstate_of
from shippyard.migration.backfill.signals import SignalReader
from shippyard.migration.backfill.spec import BackfillRefused
from shippyard.migration.backfill.throttle import (
    Felt,
    Limits,
    after_conflict,
    brake_s,
    lags_too_much,
    next_rows,
    rest_s,
)

SIGNALS_EVERY_S = 0.5
HOLD_MAX_S = 1800.0
HOLD_PAUSE_S = 1.0
CONFLICT_PAUSE_S = 0.05
DOUBLINGS_MAX = 10


@dataclass(frozen=True)
class Patience:
    """How often a batch whose rows are locked is tried, and the longest pause between."""

    attempts: int = 30
    pause_s: float = 1.0


@dataclass(frozen=True)
class Means:
    """What a course works with."""

    server: Server
    clock: Clock
    patience: Patience
    wait: Callable[[float], object] = field(default_factory=lambda: threading.Event().wait)


class Course:
    """Goes batch by batch, at the pace that the last one and the server allow."""

    def __init__(self, means: Means, table: Table, limits: Limits, rows: int) -> None:
        self._means = means
        self._table = table
        self._limits = limits
        self._rows = rows
        self._signals = SignalReader(means.server, means.clock)
        self._conflicts = 0

    def batch(self, checkpoint: Checkpoint) -> Checkpoint | None:
        """Do the next batch and rest; where it stands then, or None behind the last row.

        Raises:
            BackfillRefused: somebody else moved the checkpoint, or a replica lags for too long.
            DBAPIError: the server refused, or rows were locked for too long.
        """
        try:
            after = self._change_next(checkpoint)
        except DBAPIError as error:
            self._bear(error)
            after = checkpoint
        except CheckpointMoved:
            raise BackfillRefused(
                f"backfill {checkpoint.spec.name} was moved or forgotten by somebody else; "
                "run it again"
            ) from None
        self._look()
        return after

    def _change_next(self, checkpoint: Checkpoint) -> Checkpoint | None:
        picked = next_range(self._means.server, self._table, checkpoint, self._rows)
        if picked is None:
            return None
        begun_s = self._means.clock.monotonic()
        changed = change(self._means.server, self._table, checkpoint, picked)
        elapsed_s = self._means.clock.monotonic() - begun_s
        felt = Felt(elapsed_s, changed.rows, changed.blocking)
        self._conflicts = 0
        self._rows = next_rows(picked.seen, felt, self._limits)
        self._means.wait(rest_s(felt, self._limits))
        return _after(checkpoint, picked, changed.rows)

    def _bear(self, error: DBAPIError) -> None:
        """Wait after a conflict of locks, and take fewer rows; anything else is the end."""
        self._conflicts += 1
        patience = self._means.patience
        if sqlstate_of(error) not in LOCK_NOT_FREE or self._conflicts >= patience.attempts:
            raise error
        self._rows = after_conflict(self._rows)
        doubled = CONFLICT_PAUSE_S * 2.0 ** min(self._conflicts, DOUBLINGS_MAX)
        # jitter, so that we do not meet a periodic transaction each time
        jitter = random.uniform(0.5, 1.5)  # noqa: S311  no secret
        self._means.wait(min(doubled, patience.pause_s) * jitter)

    def _look(self) -> None:
        """Every half second a look at the server, and the pause that it asks for."""
        if self._signals.age_s < SIGNALS_EVERY_S:
            return
        signals = self._signals.read()
        self._means.wait(brake_s(signals, self._limits))
        deadline_s = self._means.clock.monotonic() + HOLD_MAX_S
        while lags_too_much(signals, self._limits):
            if self._means.clock.monotonic() > deadline_s:
                raise BackfillRefused(
                    f"a replica lags by {signals.lag_s:.0f} s since half an hour; "
                    "look at it, then run again: it goes on where it was"
                )
            self._means.wait(HOLD_PAUSE_S)
            signals = self._signals.read()


def _after(checkpoint: Checkpoint, picked: Range, changed: int) -> Checkpoint:
    return replace(
        checkpoint,
        last_key=picked.upto,
        seen=checkpoint.seen + picked.seen,
        rows=checkpoint.rows + changed,
        batches=checkpoint.batches + 1,
    )
