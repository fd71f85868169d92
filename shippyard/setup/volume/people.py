"""Owns the rows of companies, people, their preferences and doors, and carriers."""

from shippyard.setup.volume.ids import keys_of
from shippyard.setup.volume.shape import DAY_S, SPAN_S, fraction, joined
from shippyard.setup.volume.words import (
    CARRIER_NAMES,
    COMPANY_KINDS,
    COMPANY_NAMES,
    FIRST_NAMES,
    LABELS,
    LANGUAGES,
    LAST_NAMES,
    MAIL_DOMAINS,
    MAIL_NAMES,
    STREETS,
)
from shippyard.setup.volume.world import NULL, Rows, World, address_number, at, doors

COMPANIES = ("id", "country_code", "registration_number", "name", "created_at", "vat_number")
USERS = (
    "id", "company_id", "email", "email_v2", "full_name", "phone", "status", "created_at",
    "updated_at", "subscription_tier", "country_code",
)  # fmt: skip
PREFERENCES = (
    "user_id", "language", "currency", "units", "notify_by_email", "notify_by_sms", "updated_at",
)  # fmt: skip
ADDRESSES = (
    "id", "user_id", "city_id", "label", "line1", "line2", "postal_code", "created_at",
)  # fmt: skip
CARRIERS = (
    "id", "country_code", "name", "contact_email", "status", "created_at", "updated_at",
)  # fmt: skip

HAVE_PREFERENCES = 0.4
HAVE_COUNTRY = 0.6
IMPERIAL = ("US", "LR", "MM")


def companies(world: World) -> Rows:
    """A company is there before the first of its people."""
    shape, key = world.shape, keys_of("companies", world.shape.seed)
    for n in range(shape.companies):
        country = world.seat(n).country_code
        luck = fraction(n, 5)
        yield (
            key(n),
            country,
            f"R{n + 1:08d}",
            f"{at(COMPANY_NAMES, luck)} {at(COMPANY_KINDS, luck * 8 % 1)} {n + 1}",
            shape.moment(joined(n, shape.companies) * SPAN_S),
            f"{country}{n + 1:09d}" if luck * 64 % 1 < 0.7 else NULL,  # noqa: PLR2004
        )


def users(world: World) -> Rows:
    """In the order they came. Both columns of e-mail say the same."""
    shape, random = world.shape, world.shape.chance("users").random
    key, company_key = keys_of("users", shape.seed), keys_of("companies", shape.seed)
    for n in range(shape.users):
        company, luck, since = world.company(n), random(), joined(n, shape.users) * SPAN_S
        email = f"{at(MAIL_NAMES, random())}.{n + 1}@{at(MAIL_DOMAINS, random())}"
        created = shape.moment(since)
        yield (
            key(n),
            NULL if company is None else company_key(company),
            email,
            email,
            f"{at(FIRST_NAMES, random())} {at(LAST_NAMES, random())}",
            _phone(random()) if luck * 7 % 1 < 0.6 else NULL,  # noqa: PLR2004
            _status(luck),
            created,
            created if luck < 0.5 else shape.moment(since + random() * (SPAN_S - since)),  # noqa: PLR2004
            _tier(company, luck * 13 % 1),
            world.home(n).country_code if luck * 29 % 1 < HAVE_COUNTRY else NULL,
        )


def preferences(world: World) -> Rows:
    """Most people never change how they are shown things."""
    shape, key = world.shape, keys_of("users", world.shape.seed)
    for n in range(shape.users):
        luck = fraction(n, 6)
        if luck > HAVE_PREFERENCES:
            continue
        luck /= HAVE_PREFERENCES
        yield (
            key(n),
            at(LANGUAGES, luck),
            world.currency(n),
            "imperial" if world.home(n).country_code in IMPERIAL else "metric",
            "f" if luck * 8 % 1 < 0.2 else "t",  # noqa: PLR2004
            "t" if luck * 64 % 1 < 0.15 else "f",  # noqa: PLR2004
            shape.moment(joined(n, shape.users) * SPAN_S + 600),
        )


def addresses(world: World) -> Rows:
    """One door or a few for everyone, in their city."""
    shape, random = world.shape, world.shape.chance("addresses").random
    key, user_key = keys_of("addresses", shape.seed), keys_of("users", shape.seed)
    for n in range(shape.users):
        user, city = user_key(n), world.home(n).id
        since = joined(n, shape.users) * SPAN_S + 60
        for door in range(doors(n)):
            luck = random()
            yield (
                key(address_number(n, door)),
                user,
                city,
                LABELS[door],
                f"{int(luck * 220) + 1} {at(STREETS, luck * 220 % 1)}",
                f"Floor {int(luck * 10)}" if luck < 0.3 else NULL,  # noqa: PLR2004
                f"{10000 + int(luck * 90000)}",
                shape.moment(since + door),
            )


def carriers(world: World) -> Rows:
    """All of them were there on the first day."""
    shape, key = world.shape, keys_of("carriers", world.shape.seed)
    for n in range(shape.carriers):
        joined_at = shape.moment(n % 30 * DAY_S / 2)
        yield (
            key(n),
            world.seat(n).country_code,
            f"{CARRIER_NAMES[n % len(CARRIER_NAMES)]} Carriers {n + 1}",
            f"dispatch{n + 1}@example.org",
            "applied" if n % 20 == 19 else "suspended" if n % 50 == 33 else "approved",  # noqa: PLR2004
            joined_at,
            joined_at,
        )


def _phone(luck: float) -> str:
    """A number of those kept free for examples."""
    return f"+1{201 + int(luck * 788)}55501{int(luck * 78800) % 100:02d}"


def _status(luck: float) -> str:
    if luck < 0.88:  # noqa: PLR2004
        return "active"
    return "invited" if luck < 0.93 else "closed" if luck < 0.98 else "suspended"  # noqa: PLR2004


def _tier(company: int | None, luck: float) -> str:
    if company is not None:
        return "business"
    return "plus" if luck < 0.12 else "basic"  # noqa: PLR2004
