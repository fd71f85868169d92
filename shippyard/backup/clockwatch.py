"""Owns whether the wall clock can be believed: it is compared with the last time that was noted.

Retention counts days, so a clock that jumps ahead by a year would make everything look old. The
time is noted each minute. Between two notes of one boot the kernel knows exactly how much time
went by. Across a boot it does not: the machine may have been off, but never for a negative time.
What time is used for is not known here.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import structlog
from pydantic import TypeAdapter

from shippyard.backup.keepable import Clockwork
from shippyard.backup.retention import CLOCK_SLACK
from shippyard.host.uptime import Boot, since_boot
from shippyard.state.notes import Notes

NOTE = "clock"
OFF_MAX = timedelta(days=4)
"""A machine that was off for longer than a long weekend is first taken for a clock that jumped."""

LOOKS_APART = timedelta(minutes=5)
"""For so long before and after what was seen the clock may have been as wrong."""
RANGES_KEPT = 50

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Seen:
    """The right time at a moment, as far as it is known.

    `is_off` says that the wall clock showed another one, `wrong` which ones, as first and last of
    each stretch. `right_since` is when it was last set right after that.
    """

    at: datetime
    boot: Boot
    is_off: bool = False
    right_since: datetime | None = None
    wrong: tuple[tuple[datetime, datetime], ...] = ()


def watch(last: Seen | None, now: datetime, boot: Boot) -> Seen:
    """What is known at `now`, given what was known at the last look."""
    if last is None:
        return Seen(now, boot)
    expected = _expected(last, now, boot)
    if abs(now - expected) > CLOCK_SLACK:
        wrong = _shown_too(last, now, expected - last.at)
        return replace(last, at=expected, boot=boot, is_off=True, wrong=wrong)
    was_away = boot.id != last.boot.id and now - last.at > CLOCK_SLACK
    return replace(
        last,
        at=now,
        boot=boot,
        is_off=False,
        right_since=now if last.is_off or was_away else last.right_since,
    )


def _shown_too(
    last: Seen, now: datetime, elapsed: timedelta
) -> tuple[tuple[datetime, datetime], ...]:
    """The wrong times that were shown, with `now`: it goes on from the last one, or jumped."""
    if last.is_off:
        first, until = last.wrong[-1]
        if until <= now <= until + elapsed + CLOCK_SLACK:
            return (*last.wrong[:-1], (first, now))
    return (*last.wrong, (now, now))[-RANGES_KEPT:]


def _expected(last: Seen, now: datetime, boot: Boot) -> datetime:
    """What the wall clock should show; after a boot, what it shows if it may be so."""
    if boot.id and boot.id == last.boot.id:
        return last.at + timedelta(seconds=boot.up_s - last.boot.up_s)
    still_wrong = last.is_off and last.wrong[-1][1] <= now <= last.wrong[-1][1] + OFF_MAX
    believed = last.at <= now <= last.at + OFF_MAX and not still_wrong
    return now if believed else last.at


class Clockwatch:
    """Notes the time, and says what is known of it."""

    def __init__(self, notes: Notes, boot: Callable[[], Boot] = since_boot) -> None:
        self._notes = notes
        self._boot = boot

    def look(self, now: datetime) -> Clockwork:
        """Note that it is `now`, and say what it should be. Errors of the state pass through."""
        last = _seen_in(self._notes.read(NOTE))
        seen = watch(last, now, self._boot())
        self._notes.write(NOTE, _document(seen), seen.at)
        if last is not None and seen.is_off != last.is_off:
            _say(seen, now)
        return _clockwork(seen, is_first=last is None)

    def accept(self, now: datetime) -> None:
        """An operator says that the wall clock is right, and that no backup is dated wrongly."""
        self._notes.write(NOTE, _document(Seen(now, self._boot(), right_since=now)), now)


def _say(seen: Seen, now: datetime) -> None:
    if seen.is_off:
        log.error("clock.jumped", shows=now.isoformat(), expected=seen.at.isoformat())
    else:
        log.info("clock.right_again", now=now.isoformat())


def _clockwork(seen: Seen, *, is_first: bool) -> Clockwork:
    wrong = tuple((first - LOOKS_APART, last + LOOKS_APART) for first, last in seen.wrong)
    return Clockwork(None if is_first else seen.at, seen.right_since, wrong)


_adapter = TypeAdapter(Seen)


def _document(seen: Seen) -> Any:
    return _adapter.dump_python(seen, mode="json")


def _seen_in(noted: Any) -> Seen | None:
    return None if noted is None else _adapter.validate_python(noted)
