"""Owns how fast a backfill goes: the size of the next batch, and how long to wait before it.

Pure, and bounded on every side. Refuses to know how the signals are read.
"""

from dataclasses import dataclass

ROWS_FIRST = 500
ROWS_MIN = 25  # below that a batch is more ado than work
ROWS_MAX = 10_000
GROWTH_MAX = 1.5
SHRINK_MIN = 0.25
PAUSE_MAX_S = 5.0
BLOCKED_PAUSE_S = 0.25
TARGET_MS_MAX = 10_000
DUTY_MIN = 0.01


@dataclass(frozen=True)
class Limits:
    """How politely: what one batch may take, and when to go slower.

    `target_ms` is how long a batch, and so its row locks, should last. `duty` is the share of the
    time that is worked. Beyond `max_lag_s` of a replica it waits; it writes no more WAL, together
    with everybody else, than `wal_max_bytes_s`. None: no such limit.
    """

    target_ms: float = 25.0
    duty: float = 0.5
    max_lag_s: float | None = 10.0
    wal_max_bytes_s: float | None = 100e6

    def __post_init__(self) -> None:
        """Refuse limits by which nothing would ever be done.

        Raises:
            ValueError: which one, and what it may be.
        """
        if not 1 <= self.target_ms <= TARGET_MS_MAX:
            raise ValueError(f"target_ms is between 1 and {TARGET_MS_MAX}, not {self.target_ms:g}")
        if not DUTY_MIN <= self.duty <= 1:
            raise ValueError(f"duty is between {DUTY_MIN:g} and 1, not {self.duty:g}")
        for name in ("max_lag_s", "wal_max_bytes_s"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} is over 0 or None, not {value:g}")


@dataclass(frozen=True)
class Felt:
    """What one batch felt like. `blocking` counts sessions that waited for it at its end."""

    elapsed_s: float
    changed: int
    blocking: int = 0


@dataclass(frozen=True)
class Signals:
    """How the server is. `over_s` is the time since the last look; None: it can't be seen."""

    lag_s: float | None = None
    wal_bytes_s: float | None = None
    blocked: int = 0
    over_s: float = 0.0


def next_rows(rows: int, felt: Felt, limits: Limits) -> int:
    """How many rows the next batch takes, after one of `rows`."""
    factor = limits.target_ms / 1000 / max(felt.elapsed_s, 1e-6)
    if felt.blocking:
        factor = min(factor, 0.5)
    factor = min(max(factor, SHRINK_MIN), GROWTH_MAX)
    return min(max(round(rows * factor), ROWS_MIN), ROWS_MAX)


def after_conflict(rows: int) -> int:
    """How many rows to try when some of `rows` were locked: down to the locked one itself."""
    return max(rows // 4, 1)


def rest_s(felt: Felt, limits: Limits) -> float:
    """The pause after a batch; rows that were only looked at were locked for nobody."""
    if not felt.changed:
        return 0.0
    return min(felt.elapsed_s * (1 - limits.duty) / limits.duty, PAUSE_MAX_S)


def brake_s(signals: Signals, limits: Limits) -> float:
    """A further pause after a look at the server."""
    waits = [BLOCKED_PAUSE_S if signals.blocked else 0.0]
    if limits.wal_max_bytes_s and signals.wal_bytes_s:
        # so long that the time since the last look, with the pause, holds no more than allowed
        waits.append(signals.over_s * (signals.wal_bytes_s / limits.wal_max_bytes_s - 1))
    return min(max(waits), PAUSE_MAX_S)


def lags_too_much(signals: Signals, limits: Limits) -> bool:
    """Whether nothing may be written until replicas have caught up."""
    if limits.max_lag_s is None or signals.lag_s is None:
        return False
    return signals.lag_s > limits.max_lag_s
