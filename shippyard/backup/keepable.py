"""Owns the shapes that retention judges: what a backup, a copy or a base must say of itself.

Rooms that keep something in a place of their own offer these; nothing is decided here.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from shippyard.backup.model import Kind


class Keepable(Protocol):
    """What retention must know of a backup, or of a copy of one."""

    @property
    def id(self) -> str:
        """Its name, the same in every place."""
        ...

    @property
    def database(self) -> str:
        """Its subject."""
        ...

    @property
    def kind(self) -> Kind:
        """What it is."""
        ...

    @property
    def state(self) -> str:
        """How far it got; only the words for drilled and spoilt ones mean anything here."""
        ...

    @property
    def started_at(self) -> datetime:
        """When it was begun, by the clock of that moment."""
        ...

    @property
    def held_by(self) -> str | None:
        """Who needs it to stay."""
        ...

    @property
    def parent(self) -> str | None:
        """The backup without which it is nothing."""
        ...

    @property
    def drilled_at(self) -> datetime | None:
        """When it was restored and found equal."""
        ...

    @property
    def counts(self) -> bool:
        """True while it is verified and there."""
        ...

    @property
    def is_finished(self) -> bool:
        """True once the attempt has ended, well or not."""
        ...


class WalUser(Protocol):
    """A base backup that is kept."""

    @property
    def id(self) -> str:
        """Its name."""
        ...

    @property
    def wal_first(self) -> str | None:
        """The first segment it needs; None when that is not known."""
        ...


@dataclass(frozen=True)
class Clockwork:
    """What is known of the wall clock beside what it shows.

    `expected` is what it should show by the last time that was noted, None when none was.
    `right_since` is when it was last set right. `wrong` are ranges of times that it showed while it
    was not: what is dated in one was made at another time, nobody knows when.
    """

    expected: datetime | None = None
    right_since: datetime | None = None
    wrong: tuple[tuple[datetime, datetime], ...] = ()

    def misdated(self, at: datetime) -> bool:
        """Whether a date may be of a time when the clock was wrong."""
        return any(first <= at <= last for first, last in self.wrong)
