"""Owns how long a restore will take, from how long restores took. Pure.

Each phase of a restore grows with one thing, what is read or what is replayed, and has a part that
does not grow. Both are fitted to what past drills of the same kind measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from types import MappingProxyType
from typing import Literal

Driver = Literal["size_bytes", "wal_bytes", "none"]

PHASES: Mapping[str, Driver] = MappingProxyType(
    {
        "fetch": "size_bytes",
        "prepare": "none",
        "unpack": "size_bytes",
        "restore": "size_bytes",
        "replay": "wal_bytes",
        "promote": "none",
    }
)
"""Phases up to a database that reads and writes, and what each grows with."""

PAST_MAX = 20
"""Machines change: older drills say less of this one."""
FIXED_S = 0.3
"""Of a phase that was only ever seen at one size: what is taken for its part that does not grow."""
SPREAD_MIN = 1.2
"""Sizes nearer to each other than this say nothing of how time grows with them."""


@dataclass(frozen=True)
class Past:
    """One drill that passed: seconds by phase, and what they grew with."""

    phases: Mapping[str, float]
    size_bytes: int
    wal_bytes: int = 0

    def driven_by(self, driver: Driver) -> int:
        """How much there was of what a phase grows with."""
        return {"size_bytes": self.size_bytes, "wal_bytes": self.wal_bytes, "none": 0}[driver]


@dataclass(frozen=True)
class Line:
    """Seconds as a part that does not grow, and seconds per byte."""

    fixed_s: float
    per_byte_s: float

    def at(self, size_bytes: int) -> float:
        """Seconds at a size."""
        return self.fixed_s + self.per_byte_s * size_bytes


def forecast_s(past: Sequence[Past], size_bytes: int, wal_bytes: int = 0) -> float | None:
    """Seconds until the database reads and writes; `past` newest first. None without any."""
    by_phase = forecast_by_phase(past, size_bytes, wal_bytes)
    return sum(by_phase.values()) if by_phase else None


def forecast_by_phase(
    past: Sequence[Past], size_bytes: int, wal_bytes: int = 0
) -> dict[str, float]:
    """Seconds of each phase that past drills had; empty without any."""
    recent = past[:PAST_MAX]
    wanted = Past({}, size_bytes, wal_bytes)
    names = [name for name in PHASES if any(name in each.phases for each in recent)]
    return {
        name: fitted(
            [
                (each.driven_by(PHASES[name]), each.phases[name])
                for each in recent
                if name in each.phases
            ]
        ).at(wanted.driven_by(PHASES[name]))
        for name in names
    }


def fitted(points: Sequence[tuple[int, float]]) -> Line:
    """The line through (bytes, seconds) that is least wrong and never goes down."""
    sizes = [size for size, _ in points]
    if not max(sizes):
        return Line(median(seconds for _, seconds in points), 0.0)
    if max(sizes) < SPREAD_MIN * min(sizes):
        return _through_one(fmean(sizes), median(seconds for _, seconds in points))
    return _least_squares(points)


def _through_one(size: float, seconds: float) -> Line:
    fixed_s = min(FIXED_S, seconds)
    return Line(fixed_s, (seconds - fixed_s) / size)


def _least_squares(points: Sequence[tuple[int, float]]) -> Line:
    """Wrong by a part of the time, not by seconds: a small drill counts as much as a large one."""
    weights = [1.0 / max(seconds, 0.05) ** 2 for _, seconds in points]
    total = sum(weights)
    size_mean = sum(w * size for w, (size, _) in zip(weights, points, strict=True)) / total
    time_mean = sum(w * seconds for w, (_, seconds) in zip(weights, points, strict=True)) / total
    along = sum(
        w * (size - size_mean) * (seconds - time_mean)
        for w, (size, seconds) in zip(weights, points, strict=True)
    )
    spread = sum(w * (size - size_mean) ** 2 for w, (size, _) in zip(weights, points, strict=True))
    per_byte_s = max(0.0, along / spread)
    if (fixed_s := time_mean - per_byte_s * size_mean) >= 0:
        return Line(fixed_s, per_byte_s)
    crossed = sum(w * size * seconds for w, (size, seconds) in zip(weights, points, strict=True))
    return Line(
        0.0, crossed / sum(w * size**2 for w, (size, _) in zip(weights, points, strict=True))
    )
