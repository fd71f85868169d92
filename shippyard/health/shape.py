"""Owns what a shape is: it makes sense of a check's answers. Which there are says `shapes`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from shippyard.health.model import Row


@dataclass(frozen=True)
class Shaped:
    """What an answer says. Metrics and `when` read `figures`; `evidence` goes with a finding.

    `evidence` is asked only when there is a finding, and is given the figures that make it one.
    """

    figures: Sequence[Row]
    evidence: Callable[[Sequence[Row]], Mapping[str, Any]]


class Shape(Protocol):
    """Makes sense of one check's answers. It may keep what it saw: each poller has its own."""

    def __call__(self, rows: Sequence[Row], now_s: float) -> Shaped:
        """What the rows say; `now_s` is monotonic."""
        ...
