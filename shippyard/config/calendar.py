"""Owns the configuration of the calendar: when changes may happen, and when none may.

Says what was written down. When that is on a clock, `shippyard.calendar.windows` knows.
"""

from datetime import date, datetime, time, timedelta
from typing import Annotated, Literal

from pydantic import Field, model_validator

from shippyard.config.base import NAME, Model, TimeZone

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Use = Literal["migration", "breaking", "maintenance"]
"""What a window is for. A breaking migration is a migration too: it needs both to be open."""

DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
END_OF_DAY = "24:00"

TimeOfDay = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
EndOfDay = Annotated[str, Field(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$")]


class Window(Model):
    """A span that comes every week: it opens on each of `days`, and may end on the next one."""

    name: str = Field(pattern=NAME)
    days: tuple[Day, ...] = Field(DAYS, min_length=1)
    from_: TimeOfDay = Field(alias="from")
    to: EndOfDay
    for_: tuple[Use, ...] = Field(("migration",), min_length=1, alias="for")

    @model_validator(mode="after")
    def _lasts(self) -> "Window":
        if self.from_ == self.to:
            raise ValueError(f"window {self.name!r} has no length; a whole day is 00:00 to 24:00")
        return self

    @property
    def opens(self) -> time:
        """The time of day at which it opens."""
        return time.fromisoformat(self.from_)

    @property
    def closes(self) -> time:
        """The time of day at which it closes."""
        return time.fromisoformat("00:00" if self.to == END_OF_DAY else self.to)

    @property
    def ends_next_day(self) -> bool:
        """True when it goes on to midnight or beyond."""
        return self.closes <= self.opens


class Freeze(Model):
    """A span in which nothing is changed, whatever windows say.

    A moment without an offset is meant in the calendar's time zone. A date as `to` is meant whole.
    """

    name: str = Field(pattern=NAME)
    from_: datetime | date = Field(alias="from")
    to: datetime | date
    reason: str = Field(min_length=1)

    @model_validator(mode="after")
    def _lasts(self) -> "Freeze":
        if (self.begins.tzinfo is None) != (self.ends.tzinfo is None):
            raise ValueError(f"freeze {self.name!r}: give both moments an offset from UTC, or none")
        if self.ends <= self.begins:
            raise ValueError(f"freeze {self.name!r} ends before it begins; swap from and to")
        return self

    @property
    def begins(self) -> datetime:
        """The first moment."""
        return _moment(self.from_)

    @property
    def ends(self) -> datetime:
        """The first moment that is free again."""
        whole_day = timedelta(0) if isinstance(self.to, datetime) else timedelta(days=1)
        return _moment(self.to) + whole_day


class Calendar(Model):
    """When changes may happen. What no window is for may always happen, but in a freeze."""

    timezone: TimeZone = "UTC"
    windows: tuple[Window, ...] = ()
    freezes: tuple[Freeze, ...] = ()


def _moment(given: datetime | date) -> datetime:
    return given if isinstance(given, datetime) else datetime.combine(given, time())
