"""Owns for whom the application works: who is there, who comes, and what their e-mail was last.

So that afterwards it can be said whether anything that was written got lost.
"""

import random
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Person:
    """One person, with the e-mail that the next statement gives or looks for."""

    id: str
    email: str
    name: str = "A Person"
    confirmed: str | None = None

    def values(self) -> dict[str, str]:
        """Parameters of every statement."""
        return {"id": self.id, "email": self.email, "name": self.name}

    def confirm(self) -> None:
        """The database said that it wrote it."""
        self.confirmed = self.email


class People:
    """Those whose e-mail stays, those whose e-mail changes, and those who come. Safe for threads.

    `there` is pairs of id and e-mail.
    """

    def __init__(self, there: Sequence[Sequence[str]]) -> None:
        half = len(there) // 2
        self._steady = [(id_, email) for id_, email in there[:half]]
        self._movers = [(id_, email) for id_, email in there[half:]]
        self._written: dict[str, str] = {}
        self._lock = threading.Lock()

    @contextmanager
    def one(self, kind: str, luck: random.Random) -> Iterator[Person]:
        """Somebody of this kind; of movers and comers nobody else has the same one meanwhile."""
        person = self._taken(kind, luck)
        try:
            yield person
        finally:
            if kind != "steady":
                self._given_back(kind, person)

    def written(self) -> dict[str, str]:
        """By id, the e-mail that the database last said it wrote."""
        with self._lock:
            return dict(self._written)

    def _taken(self, kind: str, luck: random.Random) -> Person:
        if kind == "steady":
            return Person(*luck.choice(self._steady))
        new = f"{uuid.uuid4().hex}@example.net"
        if kind == "comer":
            return Person(str(uuid.uuid4()), new)
        with self._lock:
            return Person(self._movers.pop(luck.randrange(len(self._movers)))[0], new)

    def _given_back(self, kind: str, person: Person) -> None:
        with self._lock:
            if kind == "mover":
                self._movers.append((person.id, person.email))
            if person.confirmed is not None:
                self._written[person.id] = person.confirmed
