"""Owns what the application says to the database, in each of the forms that are deployed in turn.

A form is valid between two revisions. All do the same things for the same people: read by key and
by e-mail, join, insert, update, and now and then hold what they locked for a while.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import LiteralString

SIGNING_IN = "sign in"

ACCOUNT_OF = "SELECT account_of(%(email)s)"

# Who, within a transaction; what row level security goes by.
SAYS_WHO = "SELECT set_config('app.user_id', %(id)s, true)"


@dataclass(frozen=True)
class Doing:
    """One thing that the application does, `weight` times in a thousand.

    Each statement of `steps` must find the person: its first column is the person's id, or it
    changes at least one row. `person` is whose e-mail is known (`steady`), whose is changed
    (`mover`), or who comes new (`comer`). Between two steps the user's turn takes `pause_s`.
    """

    name: str
    weight: int
    steps: tuple[LiteralString, ...]
    person: str = "steady"
    pause_s: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Code:
    """One form of the application. `says_who` holds for all but signing in, where nobody knows."""

    name: str
    doings: tuple[Doing, ...]
    says_who: bool = False

    def pick(self, luck: random.Random) -> Doing:
        """One of the things it does, by weight."""
        return luck.choices(self.doings, [each.weight for each in self.doings])[0]


# {email} is the column it is in; the others are there or empty, by whether the tier is known.
READ_BY_KEY = "SELECT u.id, u.{email}, u.full_name, u.status{paid} FROM users u WHERE id = %(id)s"

SIGN_IN = "SELECT id, status FROM users WHERE lower({email}) = lower(%(email)s)"

READ_DOORS = """
SELECT u.id, u.full_name, a.label, a.line1
FROM users u JOIN addresses a ON a.user_id = u.id WHERE u.id = %(id)s
"""

READ_PREFERENCES = """
SELECT u.id, u.{email}, p.language, p.currency
FROM users u LEFT JOIN user_preferences p ON p.user_id = u.id WHERE u.id = %(id)s
"""

READ_COMPANY = """
SELECT u.id, u.full_name, c.name
FROM users u LEFT JOIN companies c ON c.id = u.company_id WHERE u.id = %(id)s
"""

READ_BOARD = """
SELECT u.id, s.reference
FROM users u LEFT JOIN (
    SELECT reference FROM shipments WHERE status = 'open' ORDER BY created_at DESC LIMIT 20
) s ON true WHERE u.id = %(id)s
"""

CHANGE_NAME = "UPDATE users SET full_name = %(name)s, updated_at = now() WHERE id = %(id)s"

CHANGE_EMAIL = "UPDATE users SET {email} = %(email)s, updated_at = now() WHERE id = %(id)s"

SIGN_UP = """
INSERT INTO users (id, {email}, full_name, status{column})
VALUES (%(id)s, %(email)s, %(name)s, 'active'{value})
"""

PREFER = """
INSERT INTO user_preferences (user_id, language) VALUES (%(id)s, 'de')
ON CONFLICT (user_id) DO UPDATE SET language = 'de', updated_at = now()
"""

SEND = """
INSERT INTO shipments (
    reference, sender_id, origin_address_id, destination_address_id, status,
    pickup_after, deliver_before, declared_value, currency
)
SELECT gen_random_uuid(), user_id, id, id, 'open', now(), now() + interval '3 days', 100, 'EUR'
FROM addresses WHERE user_id = %(id)s LIMIT 1
"""

# Whoever works at length holds locks on both tables meanwhile, like anyone who forgot to commit.
TOUCH_USER = "UPDATE users SET updated_at = now() WHERE id = %(id)s"
TOUCH_DOORS = "UPDATE addresses SET label = label WHERE user_id = %(id)s"
LENGTH_S = (0.05, 0.1)


def _doings(
    email: LiteralString, *, tier: bool, sign_in: LiteralString = SIGN_IN
) -> tuple[Doing, ...]:
    """Everything, with this column for the e-mail, with or without what the person pays for."""
    words: dict[str, LiteralString] = {
        "email": email,
        "paid": ", u.subscription_tier" if tier else "",
        "column": ", subscription_tier" if tier else "",
        "value": ", 'plus'" if tier else "",
    }
    return (
        Doing("read by key", 250, (READ_BY_KEY.format(**words),)),
        Doing(SIGNING_IN, 200, (sign_in.format(**words),)),
        Doing("read doors", 150, (READ_DOORS,)),
        Doing("read preferences", 100, (READ_PREFERENCES.format(**words),)),
        Doing("read company", 40, (READ_COMPANY,)),
        Doing("read board", 20, (READ_BOARD,)),
        Doing("change name", 70, (CHANGE_NAME,)),
        Doing("change e-mail", 30, (CHANGE_EMAIL.format(**words),), "mover"),
        Doing("sign up", 30, (SIGN_UP.format(**words),), "comer"),
        Doing("prefer", 30, (PREFER,)),
        Doing("send", 20, (SEND,)),
        Doing("work at length", 60, (TOUCH_USER, TOUCH_DOORS), pause_s=LENGTH_S),
    )


# By the name under which they are deployed.
CODES: Mapping[str, Code] = {
    code.name: code
    for code in (
        Code("old", _doings("email", tier=False)),
        Code("tier", _doings("email", tier=True)),
        Code("email_v2", _doings("email_v2", tier=True), says_who=True),
        Code("account_of", _doings("email_v2", tier=True, sign_in=ACCOUNT_OF), says_who=True),
    )
}


def deployed(names: Sequence[str]) -> tuple[Code, ...]:
    """The codes of these names.

    Raises:
        KeyError: there is no code of such a name.
    """
    return tuple(CODES[name] for name in names)
