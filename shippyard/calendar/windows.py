"""Owns whether something may happen now, when it may next, and until when: windows and freezes.

Pure: `now` is handed in. A freeze beats a window. A kind of work that no window is for may always
happen, but in a freeze.

Where clocks change, a window is never longer than its own clock shows: a time that is skipped is
the moment at which clocks jump, so that a window within the hour that never was does not open;
a time that comes twice is its first coming, so that a window never opens twice.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from shippyard.calendar.due import is_shown
from shippyard.config.calendar import DAYS, Calendar, Freeze, Use, Window

# Windows come back every week; a day more for those over midnight and for the zone.
_LOOK_DAYS = 9
_MINUTE = timedelta(minutes=1)

Span = tuple[datetime, datetime]


def open_now(calendar: Calendar, use: Use, now: datetime) -> bool:
    """Whether it may happen at `now`."""
    if frozen_by(calendar, now):
        return False
    own = _windows_for(calendar, use)
    return not own or any(begins <= now < ends for begins, ends in _spans(calendar, own, now, 1))


def next_opening(calendar: Calendar, use: Use, now: datetime) -> datetime | None:
    """When it may happen: `now` when it may now, None when it never may."""
    if open_now(calendar, use, now):
        return now
    return next((at for at in _changes(calendar, use, now) if open_now(calendar, use, at)), None)


def closes_at(calendar: Calendar, use: Use, now: datetime) -> datetime | None:
    """Until when it may happen that may now; None when it may not now, or no end is in sight."""
    if not open_now(calendar, use, now):
        return None
    return next(
        (at for at in _changes(calendar, use, now) if not open_now(calendar, use, at)), None
    )


def frozen_by(calendar: Calendar, now: datetime) -> Freeze | None:
    """The freeze that holds at `now`, or None."""
    zone = ZoneInfo(calendar.timezone)
    return next(
        (each for each in calendar.freezes if _at(each.begins, zone) <= now < _at(each.ends, zone)),
        None,
    )


def _windows_for(calendar: Calendar, use: Use) -> tuple[Window, ...]:
    return tuple(window for window in calendar.windows if use in window.for_)


def _changes(calendar: Calendar, use: Use, now: datetime) -> list[datetime]:
    """Every moment after `now` at which the answer may change, in order.

    Behind each freeze the windows of the week that follows count too: a freeze may be long.
    """
    zone = ZoneInfo(calendar.timezone)
    own = _windows_for(calendar, use)
    edges = {_at(edge, zone) for each in calendar.freezes for edge in (each.begins, each.ends)}
    starts = [now, *(edge for edge in edges if edge > now)]
    spans = (span for start in starts for span in _spans(calendar, own, start, _LOOK_DAYS))
    return sorted(at for at in edges | {edge for span in spans for edge in span} if at > now)


def _spans(
    calendar: Calendar, windows: tuple[Window, ...], start: datetime, days: int
) -> Iterator[Span]:
    """What the windows span from the day before `start` on, for so many days after it."""
    zone = ZoneInfo(calendar.timezone)
    first = start.astimezone(zone).date() - timedelta(days=1)
    for number in range(days + 2):
        day = first + timedelta(days=number)
        for window in windows:
            if DAYS[day.weekday()] in window.days:
                yield _span(window, day, zone)


def _span(window: Window, day: date, zone: ZoneInfo) -> Span:
    last = day + timedelta(days=1) if window.ends_next_day else day
    begins = _at(datetime.combine(day, window.opens), zone)
    return begins, _at(datetime.combine(last, window.closes), zone)


def _at(moment: datetime, zone: ZoneInfo) -> datetime:
    """A moment in UTC, meant in `zone` when it has no offset of its own."""
    if moment.tzinfo is not None:
        return moment.astimezone(UTC)
    local = moment.replace(tzinfo=zone, fold=0)
    if is_shown(local):
        return local.astimezone(UTC)
    skipped = timedelta(0)
    while not is_shown(local - skipped):
        skipped += _MINUTE
    return (local - skipped).astimezone(UTC) + _MINUTE
