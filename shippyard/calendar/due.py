"""Owns when a schedule is due: crontab lines, the last and the next due time, what is owed.

Pure: `now` is handed in, nothing is run or kept. Five fields (minute, hour, day of month, month,
weekday) with crontab(5)'s meaning, weekdays by name only. When both day fields are restricted, a
day that fits either is meant.

Where clocks change, daily work is done exactly once: a time that is skipped is due behind the gap
(02:15 becomes 03:15), a time that comes twice is due the first time. Work of every hour follows
real time instead: nothing for the hour that never was, both times for the one that was twice.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

ATTEMPTS_MAX = 3
"""How often work of one due time is begun when it is interrupted each time."""

# The longest wait there is: 29 February across a century that has none, as from 2096 to 2104.
_HORIZON_DAYS = 8 * 366

_LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class BadSchedule(Exception):
    """A schedule can't be used; the message is one line that says what to write instead."""


@dataclass(frozen=True)
class Schedule:
    """A parsed crontab line in a time zone. Weekdays count from Monday = 0."""

    text: str
    zone: ZoneInfo
    minutes: frozenset[int] = field(repr=False)
    hours: frozenset[int] = field(repr=False)
    days: frozenset[int] = field(repr=False)
    months: frozenset[int] = field(repr=False)
    weekdays: frozenset[int] = field(repr=False)
    either_day: bool = field(repr=False)

    @property
    def is_hourly(self) -> bool:
        """It is due in every hour, so it follows real time where clocks change."""
        return len(self.hours) == 24  # noqa: PLR2004  hours in a day


@dataclass(frozen=True)
class _Field:
    """What one field of the line may say.

    `names` stand for the values from `low` on; a range may go round the end, as sat-mon does.
    """

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    goes_round: bool = False

    @property
    def known(self) -> str:
        """What to write."""
        return ", ".join(self.names) or f"{self.low}-{self.high}"

    def number(self, text: str) -> int:
        """The value of one name or number."""
        if text in self.names:
            return self.low + self.names.index(text)
        return _natural(text)


_MINUTE = _Field("minute", 0, 59)
_HOUR = _Field("hour", 0, 23)
_DAY = _Field("day of month", 1, 31)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = _Field("month", 1, 12, _MONTHS)
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WEEKDAY = _Field("weekday", 0, 6, _WEEKDAYS, goes_round=True)


class Tried(Protocol):
    """What is remembered of the newest due time of a job that was begun, or first seen."""

    @property
    def due_at(self) -> datetime:
        """The due time."""
        ...

    @property
    def outcome(self) -> str:
        """Such as `done`, `failed` or `interrupted`."""
        ...

    @property
    def attempts(self) -> int:
        """How often work for this due time was begun."""
        ...


def parse_schedule(text: str, timezone: str) -> Schedule:
    """A crontab line, its times meant in `timezone`.

    Raises:
        BadSchedule: not five fields, a value out of range, a weekday by number, or a day that
            never comes.
    """
    fields = text.lower().split()
    if len(fields) != 5:  # noqa: PLR2004  the fields of crontab(5)
        raise BadSchedule(
            f"schedule {text!r} has {len(fields)} fields; "
            "give five: minute hour day-of-month month weekday"
        )
    minute, hour, day, month, weekday = fields
    schedule = Schedule(
        text,
        ZoneInfo(timezone),
        minutes=_values(text, _MINUTE, minute),
        hours=_values(text, _HOUR, hour),
        days=_values(text, _DAY, day),
        months=_values(text, _MONTH, month),
        weekdays=_weekdays(text, weekday),
        either_day=not day.startswith("*") and not weekday.startswith("*"),
    )
    _refuse_never(schedule)
    return schedule


def next_due(schedule: Schedule, now: datetime) -> datetime:
    """The first due time after `now`, in UTC."""
    first = now.astimezone(schedule.zone).date() - timedelta(days=1)
    days = (first + timedelta(days=n) for n in range(_HORIZON_DAYS))
    return _first(schedule, days, lambda times: min((t for t in times if t > now), default=None))


def latest_due(schedule: Schedule, now: datetime) -> datetime:
    """The newest due time that is not after `now`, in UTC."""
    last = now.astimezone(schedule.zone).date() + timedelta(days=1)
    days = (last - timedelta(days=n) for n in range(_HORIZON_DAYS))
    return _first(schedule, days, lambda times: max((t for t in times if t <= now), default=None))


def missed(schedule: Schedule, last: Tried | None, now: datetime) -> datetime | None:
    """The due time whose work is owed at `now`, or None.

    `last` is what was tried of due times up to `now`. However many were missed, only the newest
    is owed. Interrupted work is owed again, at most `ATTEMPTS_MAX` times in all, unless a newer
    due time takes its place. Failed work is not: it waits for its next time. A job of which
    nothing is known owes nothing, so that a first start does not run everything at once.
    """
    if last is None:
        return None
    newest = latest_due(schedule, now)
    if newest > last.due_at:
        return newest
    again = last.outcome == "interrupted" and last.attempts < ATTEMPTS_MAX
    return last.due_at if again else None


def _first(
    schedule: Schedule, days: Iterator[date], pick: Callable[[set[datetime]], datetime | None]
) -> datetime:
    """What `pick` finds on the first of the schedule's days that has any."""
    for day in days:
        if _is_due_on(schedule, day) and (found := pick(_times_on(schedule, day))):
            return found
    raise AssertionError(f"{schedule.text!r} never comes, which parsing refuses")


def _is_due_on(schedule: Schedule, day: date) -> bool:
    if day.month not in schedule.months:
        return False
    fits = (day.day in schedule.days, day.weekday() in schedule.weekdays)
    return any(fits) if schedule.either_day else all(fits)


def _times_on(schedule: Schedule, day: date) -> set[datetime]:
    """Every due time of one day, in UTC."""
    # fold=0 reads a skipped time with the offset before the change, which moves it behind the
    # gap, and a doubled time as its first coming (PEP 495).
    folds = (0, 1) if schedule.is_hourly else (0,)
    local = (
        datetime(day.year, day.month, day.day, hour, minute, fold=fold, tzinfo=schedule.zone)
        for hour in schedule.hours
        for minute in schedule.minutes
        for fold in folds
    )
    return {t.astimezone(UTC) for t in local if not schedule.is_hourly or is_shown(t)}


def is_shown(local: datetime) -> bool:
    """Whether clocks in its zone ever show this time."""
    back = local.astimezone(UTC).astimezone(local.tzinfo)
    return back.replace(tzinfo=None) == local.replace(tzinfo=None)


def _weekdays(line: str, text: str) -> frozenset[int]:
    if any(char.isdigit() for char in text):
        raise BadSchedule(
            f"schedule {line!r}: give weekdays by name (mon,tue,wed,thu,fri,sat,sun); "
            "numbers mean different days to different programs"
        )
    return _values(line, _WEEKDAY, text)


def _values(line: str, field_: _Field, text: str) -> frozenset[int]:
    """Every value that one field of the line means."""
    try:
        return frozenset(n for part in text.split(",") for n in _range(part, field_))
    except ValueError:
        raise BadSchedule(
            f"schedule {line!r}: {field_.name} {text!r} is not understood; "
            f"use {field_.known}, with * , - and / as in crontab(5)"
        ) from None


def _range(part: str, field_: _Field) -> Iterator[int]:
    """`*`, `a` or `a-b`; `*` and `a-b` also with `/step`."""
    span, slash, step_text = part.partition("/")
    first, last = _ends(span, field_)
    step = _natural(step_text) if slash else 1
    single = span != "*" and "-" not in span
    if step < 1 or last < first or (slash and single):
        raise ValueError(part)
    size = field_.high - field_.low + 1
    return (field_.low + (n - field_.low) % size for n in range(first, last + 1, step))


def _ends(span: str, field_: _Field) -> tuple[int, int]:
    """The first and the last value of a span; the last is beyond the field when it goes round."""
    if span == "*":
        return field_.low, field_.high
    first_text, dash, last_text = span.partition("-")
    first = field_.number(first_text)
    last = field_.number(last_text) if dash else first
    if min(first, last) < field_.low or max(first, last) > field_.high:
        raise ValueError(span)
    round_ = field_.high - field_.low + 1 if field_.goes_round and last < first else 0
    return first, last + round_


def _natural(text: str) -> int:
    if text.isascii() and text.isdigit():
        return int(text)
    raise ValueError(text)


def _refuse_never(schedule: Schedule) -> None:
    """A day such as 31 February, which no year has."""
    earliest = min(schedule.days)
    by_date = any(earliest <= _LONGEST_MONTHS[month - 1] for month in schedule.months)
    if not by_date and not schedule.either_day:
        raise BadSchedule(f"schedule {schedule.text!r} never comes: no such day in those months")
