"""Owns what application statements took: the records, and the figures that are made of them.

Knows nothing of who sent them or why.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of the application; moments are seconds since 1970.

    `due` is when its user asked for it, which is before `started` when every connection was busy:
    what waits in the application has waited too. `error` is an SQLSTATE, `nobody` when a person who
    is there was not found, or None.
    """

    code: str
    name: str
    due: float
    started: float
    ended: float
    pid: int
    error: str | None

    @property
    def latency_ms(self) -> float:
        """From when it was due to its end."""
        return (self.ended - self.due) * 1000


@dataclass(frozen=True)
class Window:
    """The statements that were due between two moments, and what went on meanwhile."""

    name: str
    begun: float
    ended: float

    def holds(self, moment: float) -> bool:
        """Whether it is between the two."""
        return self.begun <= moment < self.ended

    def of(self, statements: Iterable[Statement]) -> list[Statement]:
        """Those of this window."""
        return [each for each in statements if self.holds(each.due)]


@dataclass(frozen=True)
class Figures:
    """What a number of statements took, in milliseconds, and the errors among them by kind."""

    count: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    errors: Counter[str]

    @property
    def failed(self) -> int:
        """How many ended in an error."""
        return self.errors.total()


def figures_of(statements: Sequence[Statement]) -> Figures:
    """Percentiles by the nearest rank; zeros when there was nothing."""
    took = sorted(each.latency_ms for each in statements)
    errors = Counter(f"{each.code} code: {each.error}" for each in statements if each.error)
    return Figures(len(took), _rank(took, 0.50), _rank(took, 0.99), _rank(took, 1.0), errors)


def write(statements: Iterable[Statement], file: Path) -> None:
    """One JSON list for each statement and line."""
    with file.open("w") as lines:
        for each in statements:
            values = [getattr(each, name) for name in Statement.__slots__]
            lines.write(json.dumps(values) + "\n")


def read(file: Path) -> list[Statement]:
    """What `write` wrote, in the order in which the statements were due."""
    with file.open() as lines:
        return sorted((Statement(*json.loads(line)) for line in lines), key=lambda each: each.due)


def _rank(took: Sequence[float], part: float) -> float:
    if not took:
        return 0.0
    return took[min(len(took) - 1, int(part * len(took)))]
