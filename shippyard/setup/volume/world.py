"""Owns what the tables' makers share: the shape, real cities, and facts that follow from an index.

A person's city, doors and company are functions of the person's number, so that addresses and
shipments agree on them without a look at each other's rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from shippyard.setup.volume.shape import Shape, favourite, fraction, joined, there_at
from shippyard.setup.volume.words import CURRENCIES

NULL = "\\N"  # as COPY writes it
Cells = tuple[str, ...]
Rows = Iterator[Cells]

DOORS = (1, 2, 1, 1, 3, 1, 2, 1)
MOST_DOORS = 4  # keys of addresses are numbered person by person, with room for this many
IN_COMPANY = 1 / 6
SPREAD = 4096


@dataclass(frozen=True)
class City:
    """A city that is in the database."""

    id: str
    country_code: str


@dataclass(frozen=True)
class World:
    """A shape, in a database with these cities, in the order of their ids."""

    shape: Shape
    cities: tuple[City, ...]

    def __post_init__(self) -> None:
        if not self.cities:
            raise ValueError("a world has at least one city")

    def home(self, user: int) -> City:
        """Where a person lives: few cities have most people."""
        return self._spread[int(fraction(user, 1) * SPREAD)]

    def seat(self, company: int) -> City:
        """Where a company or a carrier is."""
        return self._spread[int(fraction(company, 2) * SPREAD)]

    @cached_property
    def _spread(self) -> tuple[City, ...]:
        """Cities as often as they are chosen."""
        return tuple(self.cities[favourite(len(self.cities), n / SPREAD)] for n in range(SPREAD))

    def company(self, user: int) -> int | None:
        """Which company a person belongs to: one that was there before, the first most often."""
        luck = fraction(user, 3)
        if luck > IN_COMPANY:
            return None
        before = there_at(joined(user, self.shape.users), self.shape.companies)
        return favourite(before, luck / IN_COMPANY)

    def currency(self, user: int) -> str:
        """What a person pays in."""
        return CURRENCIES.get(self.home(user).country_code, "EUR")


def doors(user: int) -> int:
    """How many addresses a person has."""
    return DOORS[int(fraction(user, 4) * len(DOORS))]


def address_number(user: int, door: int) -> int:
    """The number of an address, for its key."""
    return user * MOST_DOORS + door % doors(user)


def at(words: Cells, luck: float) -> str:
    """One of these words, each as likely."""
    return words[int(luck * len(words))]
