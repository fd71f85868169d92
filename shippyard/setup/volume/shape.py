"""Owns how much there is and when it came about: counts by scale, growth over two years, skew.

Everything follows from `scale` and `seed` by arithmetic, so that any row can be made without the
ones before it and the memory used does not depend on the scale. Knows no table's columns.
"""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

USERS = 10_000  # at scale 1; the others keep their proportion to it
USERS_PER_COMPANY = 16
USERS_PER_CARRIER = 100
SHIPMENTS_PER_USER = 3
FEWEST_CARRIERS = 8

SPAN = timedelta(days=730)
SPAN_S = SPAN.total_seconds()
DAY_S = 86_400.0
MARGIN_DAYS = 60
MINUTES = tuple(f"{hour:02d}:{minute:02d}" for hour in range(24) for minute in range(60))

# Nobody sends in the first weeks; then shipments grow faster than accounts do.
FIRST_SHIPMENT = 0.08
SHIPMENT_GROWTH = 2.5

# The head of the line: with 200, the first tenth of the senders sends more than half.
SKEW = 200


@dataclass(frozen=True)
class Shape:
    """How much volume, and the midnight (UTC) it ends at. The same shape gives the same rows."""

    scale: float = 1.0
    seed: int = 1
    until: datetime = datetime(2026, 10, 1, tzinfo=UTC)

    @property
    def users(self) -> int:
        """People with an account: 10,000 for each of `scale`."""
        return max(1, round(USERS * self.scale))

    @property
    def companies(self) -> int:
        """Companies, which a sixth of the people belong to."""
        return max(1, self.users // USERS_PER_COMPANY)

    @property
    def carriers(self) -> int:
        """Companies that carry."""
        return max(FEWEST_CARRIERS, self.users // USERS_PER_CARRIER)

    @property
    def shipments(self) -> int:
        """Shipments in all states."""
        return self.users * SHIPMENTS_PER_USER

    def chance(self, purpose: str) -> random.Random:
        """A source of chance of its own for each purpose, so that tables can be made alone."""
        return random.Random(f"{self.seed}:{purpose}")  # noqa: S311  invented life, no secret

    def moment(self, seconds: float) -> str:
        """A moment `seconds` after the beginning, as SQL text."""
        days, rest = divmod(int(seconds), 86_400)
        minutes, left = divmod(rest, 60)
        return f"{self._days[days]} {MINUTES[minutes]}:{left:02d}+00"

    @cached_property
    def _days(self) -> tuple[str, ...]:
        """Every day there may be something on: deadlines lie some weeks after the last moment."""
        first = (self.until - SPAN).date()
        return tuple(f"{first + timedelta(days=n)}" for n in range(SPAN.days + MARGIN_DAYS))


def joined(index: int, count: int) -> float:
    """When the account, company or carrier of this index came, 0 to 1: the rate grows evenly."""
    return float((index / count) ** 0.5)


def there_at(when: float, count: int) -> int:
    """How many of `count` were there at `when`, at least one: the inverse of `joined`."""
    return min(count, int(count * when * when) + 1)


def shipped(index: int, count: int) -> float:
    """When the shipment of this index was made, 0 to 1."""
    grown = float((index / count) ** (1 / SHIPMENT_GROWTH))
    return FIRST_SHIPMENT + (1 - FIRST_SHIPMENT) * grown


def favourite(choices: int, luck: float) -> int:
    """One of `choices`, by `luck` from 0 to 1: the first are by far the likeliest."""
    return min(choices - 1, int(choices / SKEW * ((SKEW + 1.0) ** luck - 1)))


def fraction(index: int, salt: int = 0) -> float:
    """A number from 0 to 1 that belongs to this index: the same each time it is asked for."""
    mixed = (index * 0x9E3779B97F4A7C15 + salt * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    return ((mixed ^ (mixed >> 31)) >> 11) / 0x20000000000000
