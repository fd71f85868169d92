"""Owns which tables are filled, what each points at, and about how many rows it gets.

A table that is not here is left alone; a column that is not here keeps its default.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from shippyard.setup.volume import deals, freight, people
from shippyard.setup.volume.shape import Shape
from shippyard.setup.volume.world import Cells, Rows, World


class UnknownTable(Exception):
    """There is no volume for a table of this name; the message says for which there is."""


@dataclass(frozen=True)
class Table:
    """One table: every column that is known of, what makes its rows, what must be there before.

    `share` is about how many rows it has for each shipment, or for each person when `per_user`.
    """

    name: str
    columns: Cells
    rows: Callable[[World], Rows]
    share: float
    needs: tuple[str, ...] = ()
    per_user: bool = False

    def expected(self, shape: Shape) -> int:
        """About how many rows; exact figures come from making them."""
        return round(self.share * (shape.users if self.per_user else shape.shipments))


TABLES = (
    Table("companies", people.COMPANIES, people.companies, 1 / 16, per_user=True),
    Table("carriers", people.CARRIERS, people.carriers, 0.01, per_user=True),
    Table("users", people.USERS, people.users, 1.0, ("companies",), per_user=True),
    Table("user_preferences", people.PREFERENCES, people.preferences, 0.4, ("users",), True),
    Table("addresses", people.ADDRESSES, people.addresses, 1.5, ("users",), True),
    Table("shipments", freight.SHIPMENTS, freight.shipments, 1.0, ("users", "addresses")),
    Table("shipment_items", freight.ITEMS, freight.items, 2.0, ("shipments",)),
    Table("shipment_events", freight.EVENTS, freight.events, 6.8, ("shipments",)),
    Table("quotes", deals.QUOTES, deals.quotes, 2.7, ("shipments", "carriers")),
    Table("bookings", deals.BOOKINGS, deals.bookings, 0.93, ("quotes",)),
    Table("payments", deals.PAYMENTS, deals.payments, 0.97, ("bookings",)),
    Table("reviews", deals.REVIEWS, deals.reviews, 0.37, ("bookings", "users")),
)
NAMES = tuple(table.name for table in TABLES)


def with_needs(wanted: Iterable[str]) -> tuple[Table, ...]:
    """These tables and all that they point at, in the order of filling.

    Raises:
        UnknownTable: a table that is not filled here.
    """
    by_name = {table.name: table for table in TABLES}
    chosen: set[str] = set()
    open_ = list(wanted)
    while open_:
        name = open_.pop()
        if name not in by_name:
            raise UnknownTable(f"there is no volume for {name!r}; there is for {', '.join(NAMES)}")
        chosen.add(name)
        open_ += by_name[name].needs
    return tuple(table for table in TABLES if table.name in chosen)
