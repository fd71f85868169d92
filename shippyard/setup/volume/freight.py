"""Owns shipments: what each one's course was, and the rows of shipments, items and events.

A course is made again for every table that follows from it, from the same source of chance; that
costs a few microseconds and no memory.
"""

from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass

from shippyard.setup.volume.ids import keys_of
from shippyard.setup.volume.shape import DAY_S, SPAN_S, favourite, shipped, there_at
from shippyard.setup.volume.words import GOODS
from shippyard.setup.volume.world import NULL, Rows, World, address_number, doors

SHIPMENTS = (
    "id", "reference", "sender_id", "origin_address_id", "destination_address_id", "status",
    "pickup_after", "deliver_before", "declared_value", "currency", "created_at", "updated_at",
)  # fmt: skip
ITEMS = (
    "id", "shipment_id", "description", "quantity", "weight_kg", "length_cm", "width_cm",
    "height_cm", "is_fragile",
)  # fmt: skip
EVENTS = ("id", "shipment_id", "kind", "city_id", "note", "happened_at", "recorded_at")

STATUSES = ("draft", "open", "booked", "in_transit", "delivered", "cancelled")
# By age in days: how the shipments of that age are spread over STATUSES, summed up. Most are old,
# and most of those delivered.
AGES = (2.0, 7.0, 21.0)
SHARES = (
    (0.15, 0.70, 0.90, 0.95, 0.95, 1.0),
    (0.08, 0.28, 0.60, 0.90, 0.95, 1.0),
    (0.05, 0.08, 0.13, 0.33, 0.90, 1.0),
    (0.03, 0.03, 0.03, 0.03, 0.91, 1.0),
)
LIVE = frozenset({"booked", "in_transit", "delivered"})
OFFERS = (1, 1, 2, 2, 3, 3, 4, 6)
MOST_ITEMS, MOST_EVENTS = 8, 16
PIECES = (1, 1, 1, 1, 2, 2, 3, 5)
HOPS = (0, 0, 1, 1, 1, 2, 2, 4)
REBOOKED, FELL_THROUGH = 0.02, 0.4


@dataclass(slots=True)
class Course:
    """What became of one shipment; times are seconds after the beginning, money in cents.

    `lasted` is from making it to its last event. `fallen` says that a booking of it was cancelled.
    """

    number: int
    sender: int
    recipient: int
    status: str
    created: float
    lasted: float
    price: int
    offers: int
    fallen: bool


def courses(world: World) -> Iterator[Course]:
    """Every shipment in the order they were made. The oldest accounts send most."""
    shape, random = world.shape, world.shape.chance("shipments").random
    for n in range(shape.shipments):
        when = shipped(n, shape.shipments)
        people = there_at(when, shape.users)
        age_s = (1 - when) * SPAN_S
        status = STATUSES[bisect(SHARES[bisect(AGES, age_s / DAY_S)], random())]
        offers = 0 if status == "draft" else OFFERS[int(random() * 8)]
        luck = random()
        fallen = luck < REBOOKED and offers > 1 if status in LIVE else luck < FELL_THROUGH
        yield Course(
            number=n,
            sender=favourite(people, random()),
            recipient=int(random() * people),
            status=status,
            created=when * SPAN_S,
            lasted=min((2 + 6 * random()) * DAY_S, age_s * 0.95),
            price=int(2_000 / (random() + 0.02)),
            offers=offers,
            fallen=fallen and status in (*LIVE, "cancelled"),
        )


def shipments(world: World) -> Rows:
    """From a door of the sender to a door of anybody."""
    shape, random = world.shape, world.shape.chance("shipments' rows").random
    key, user_key = keys_of("shipments", shape.seed), keys_of("users", shape.seed)
    address_key = keys_of("addresses", shape.seed)
    for course in courses(world):
        created, luck = course.created, random()
        pickup = created + (1 + 3 * luck) * DAY_S
        yield (
            key(course.number),
            f"SHP-{course.number + 1:09d}",
            user_key(course.sender),
            address_key(address_number(course.sender, int(luck * 7))),
            address_key(address_number(course.recipient, course.number % doors(course.recipient))),
            course.status,
            shape.moment(pickup),
            shape.moment(pickup + (2 + 12 * random()) * DAY_S),
            f"{course.price * (1 + int(luck * 60)) / 100:.2f}",
            world.currency(course.sender),
            shape.moment(created),
            shape.moment(created + (0 if course.status == "draft" else course.lasted)),
        )


def items(world: World) -> Rows:
    """A piece or a few; who measures them does so on all sides."""
    shape, random = world.shape, world.shape.chance("items").random
    key, shipment_key = keys_of("shipment_items", shape.seed), keys_of("shipments", shape.seed)
    for n in range(shape.shipments):
        shipment = shipment_key(n)
        for piece in range(PIECES[int(random() * 8)]):
            luck = random()
            good = int(luck * len(GOODS))
            measured = luck * 977 % 1
            sizes = (f"{20 + int(measured * side)}" for side in (180, 120, 90))
            yield (
                key(n * MOST_ITEMS + piece),
                shipment,
                GOODS[good],
                f"{1 + int(3 * random() ** 4 * 4)}",
                f"{0.2 + 60 * measured * measured:.3f}",
                *(sizes if measured < 0.8 else (NULL, NULL, NULL)),  # noqa: PLR2004
                "t" if good % 5 == 3 else "f",  # noqa: PLR2004
            )


def events(world: World) -> Rows:
    """How each shipment came to where it is now: two lines for a few, a dozen for others."""
    shape, random = world.shape, world.shape.chance("events").random
    key, shipment_key = keys_of("shipment_events", shape.seed), keys_of("shipments", shape.seed)
    moment = shape.moment
    for course in courses(world):
        shipment = shipment_key(course.number)
        steps = _steps(course, world, random())
        for number, (kind, part, city) in enumerate(steps):
            happened = course.created + course.lasted * part
            yield (
                key(course.number * MOST_EVENTS + number),
                shipment,
                kind,
                city,
                "by the sender" if kind == "cancelled" else NULL,
                moment(happened),
                moment(happened + 240),
            )


def _steps(course: Course, world: World, luck: float) -> list[tuple[str, float, str]]:
    """What happened, at which part of the time it lasted, and in which city."""
    status = course.status
    steps = [("created", 0.0, NULL)]
    if status == "draft":
        return steps
    steps.append(("opened", 0.02, NULL))
    if status == "cancelled":
        return [*steps, ("cancelled", 1.0, NULL)]
    if status == "open":
        return steps
    steps.append(("booked", 0.2, NULL))
    if status == "booked":
        return steps
    steps.append(("picked_up", 0.4, world.home(course.sender).id))
    hops = HOPS[int(luck * len(HOPS))]
    for hop in range(hops):
        city = world.seat(course.number + hop).id
        steps.append(("arrived", 0.4 + 0.5 * (hop + 0.3) / hops, city))
        steps.append(("departed", 0.4 + 0.5 * (hop + 0.8) / hops, city))
    if status == "delivered":
        steps.append(("delivered", 1.0, world.home(course.recipient).id))
    return steps
