"""Owns the rows of quotes, bookings, payments and reviews, which follow a shipment's course."""

from collections.abc import Iterator
from dataclasses import dataclass

from shippyard.setup.volume.freight import LIVE, Course, courses
from shippyard.setup.volume.ids import keys_of
from shippyard.setup.volume.shape import DAY_S, SPAN_S, favourite, fraction
from shippyard.setup.volume.words import COMMENTS
from shippyard.setup.volume.world import NULL, Rows, World, at

QUOTES = (
    "id", "shipment_id", "carrier_id", "amount", "currency", "status", "valid_until", "created_at",
)  # fmt: skip
BOOKINGS = ("id", "quote_id", "shipment_id", "status", "booked_at")
PAYMENTS = (
    "id", "booking_id", "amount", "currency", "method", "status", "provider_reference",
    "created_at", "captured_at",
)  # fmt: skip
REVIEWS = ("id", "booking_id", "author_id", "rating", "comment", "created_at")

MOST_QUOTES, MOST_BOOKINGS, MOST_PAYMENTS = 8, 2, 2
METHODS = ("card", "card", "card", "transfer", "invoice")
RATINGS = ("5", "5", "5", "5", "4", "4", "3", "2", "1", "5")
REVIEWED = 0.45
FAILED_FIRST = 0.04


@dataclass(slots=True)
class Booked:
    """One accepted quote of a shipment: which offer, and what became of it."""

    number: int
    course: Course
    offer: int
    status: str
    at: float


def quotes(world: World) -> Rows:
    """Few carriers offer on most shipments; the first offer is the cheapest and is accepted."""
    shape = world.shape
    key, shipment_key = keys_of("quotes", shape.seed), keys_of("shipments", shape.seed)
    carrier_key = keys_of("carriers", shape.seed)
    for course in courses(world):
        shipment, currency = shipment_key(course.number), world.currency(course.sender)
        first = favourite(shape.carriers, fraction(course.number, 8))
        for offer in range(course.offers):
            offered = course.created + course.lasted * (0.03 + 0.01 * offer)
            yield (
                key(course.number * MOST_QUOTES + offer),
                shipment,
                carrier_key((first + offer) % shape.carriers),
                f"{price_of(course, offer):.2f}",
                currency,
                _standing(course, offer),
                shape.moment(offered + 7 * DAY_S),
                shape.moment(offered),
            )


def bookings(world: World) -> Rows:
    """At most one that stands for each shipment, and some that were cancelled."""
    shape = world.shape
    key, shipment_key = keys_of("bookings", shape.seed), keys_of("shipments", shape.seed)
    quote_key = keys_of("quotes", shape.seed)
    for each in booked(world):
        yield (
            key(each.number),
            quote_key(each.course.number * MOST_QUOTES + each.offer),
            shipment_key(each.course.number),
            each.status,
            shape.moment(each.at),
        )


def payments(world: World) -> Rows:
    """One that worked for most bookings; a few fail first; what is cancelled is paid back."""
    shape, random = world.shape, world.shape.chance("payments").random
    key, booking_key = keys_of("payments", shape.seed), keys_of("bookings", shape.seed)
    for each in booked(world):
        luck = random()
        tries = ["failed"] if luck < FAILED_FIRST else []
        for number, status in enumerate([*tries, _paid(each, luck)]):
            made = each.at + 60 + 600 * number
            done = status in {"captured", "refunded"}
            yield (
                key(each.number * MOST_PAYMENTS + number),
                booking_key(each.number),
                f"{price_of(each.course, each.offer):.2f}",
                world.currency(each.course.sender),
                at(METHODS, luck * 31 % 1),
                status,
                f"pay_{each.number * MOST_PAYMENTS + number:012x}",
                shape.moment(made),
                shape.moment(made + 30) if done else NULL,
            )


def reviews(world: World) -> Rows:
    """Not half of those who were served say something; who does is mostly content."""
    shape, random = world.shape, world.shape.chance("reviews").random
    key, booking_key = keys_of("reviews", shape.seed), keys_of("bookings", shape.seed)
    user_key = keys_of("users", shape.seed)
    for each in booked(world):
        luck = random()
        if each.status != "completed" or luck > REVIEWED:
            continue
        over = each.course.created + each.course.lasted
        yield (
            key(each.number),
            booking_key(each.number),
            user_key(each.course.sender),
            at(RATINGS, luck / REVIEWED),
            at(COMMENTS, luck * 17 % 1) if luck < REVIEWED / 2 else NULL,
            shape.moment(min(over + luck * 4 * DAY_S, SPAN_S)),
        )


def booked(world: World) -> Iterator[Booked]:
    """Every booking, shipment by shipment; a cancelled one comes before the one that stands."""
    for course in courses(world):
        stands = course.status in LIVE
        number, when = course.number * MOST_BOOKINGS, course.created + course.lasted * 0.2
        if course.fallen:
            yield Booked(number + 1, course, int(stands), "cancelled", when - course.lasted * 0.05)
        if stands:
            status = "completed" if course.status == "delivered" else "confirmed"
            yield Booked(number, course, 0, status, when)


def price_of(course: Course, offer: int) -> float:
    """What an offer asks; each is dearer than the one before."""
    return course.price * (1 + 0.07 * offer) / 100


def _standing(course: Course, offer: int) -> str:
    """A quote that was booked and given up is withdrawn; the others follow the shipment."""
    if course.status == "open":
        return "offered"
    if course.status in LIVE:
        return (
            "accepted"
            if offer == 0
            else "withdrawn"
            if course.fallen and offer == 1
            else "declined"
        )
    return "withdrawn" if course.fallen and offer == 0 else "expired"


def _paid(each: Booked, luck: float) -> str:
    if each.status == "cancelled":
        return "refunded"
    if each.course.status == "booked" and luck > 0.5:  # noqa: PLR2004
        return "pending"
    return "captured"
