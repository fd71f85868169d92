"""Owns what the statements that take the most time in production cost before and after a plan."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shippyard.postgres.target import Target


@dataclass(frozen=True)
class Asked:
    """One statement that production runs often."""

    text: str
    calls: int
    mean_ms: float


@dataclass(frozen=True)
class Timed:
    """What one costs."""

    elapsed_ms: float | None
    cost: float | None
    error: str | None = None


def top_statements(monitor: Target) -> tuple[Asked, ...]:
    """The statements that take the most time; none where that can't be read."""
    return ()


def time_statements(
    target: Target, asked: Sequence[Asked], *, seconds: float
) -> Mapping[str, Timed]:
    """What each costs now."""
    return {}


def slower(before: Mapping[str, Timed], after: Mapping[str, Timed]) -> tuple[str, ...]:
    """What got at least twice as slow."""
    return ()
