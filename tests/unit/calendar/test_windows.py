"""When windows are open: over midnight, in freezes, and where clocks change."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from shippyard.calendar.windows import closes_at, frozen_by, next_opening, open_now
from shippyard.config.calendar import Calendar

OSLO = "Europe/Oslo"
local = datetime.fromisoformat
NIGHTS = {"name": "nights", "days": ["mon", "tue"], "from": "22:00", "to": "02:00"}
LUNCH = {"name": "lunch", "from": "12:00", "to": "13:00"}
YULE = {
    "name": "yule",
    "from": local("2026-12-18T17:00"),
    "to": local("2027-01-04T06:00"),
    "reason": "sales",
}


def calendar(
    *windows: dict[str, Any], freezes: tuple[Any, ...] = (), zone: str = "UTC"
) -> Calendar:
    return Calendar.model_validate({"timezone": zone, "windows": windows, "freezes": freezes})


def at(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def is_open(made: Calendar, text: str) -> bool:
    return open_now(made, "migration", at(text))


def test_what_no_window_is_for_may_always_happen() -> None:
    made = calendar(NIGHTS)
    now = at("2026-11-25T12:00")
    assert open_now(made, "maintenance", now)
    assert closes_at(made, "maintenance", now) is None
    assert next_opening(made, "maintenance", now) == now
    assert not open_now(made, "migration", now)


# 2026-11-23 is a Monday.
@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-11-23T01:59", False),  # Sunday's night does not open
        ("2026-11-23T21:59:59", False),
        ("2026-11-23T22:00", True),
        ("2026-11-24T01:59:59", True),
        ("2026-11-24T02:00", False),
        ("2026-11-25T01:00", True),  # Tuesday's night, on Wednesday
        ("2026-11-25T22:00", False),
    ],
)
def test_a_window_over_midnight_belongs_to_the_day_it_opens(now: str, *, expected: bool) -> None:
    assert is_open(calendar(NIGHTS), now) is expected


def test_the_next_opening_and_the_close() -> None:
    made = calendar(NIGHTS)
    assert next_opening(made, "migration", at("2026-11-25T02:00")) == at("2026-11-30T22:00")
    assert next_opening(made, "migration", at("2026-11-24T01:00")) == at("2026-11-24T01:00")
    assert closes_at(made, "migration", at("2026-11-24T01:00")) == at("2026-11-24T02:00")
    assert closes_at(made, "migration", at("2026-11-24T12:00")) is None


def test_windows_that_touch_are_one() -> None:
    morning = {"name": "morning", "from": "06:00", "to": "12:00"}
    made = calendar(morning, LUNCH)
    assert closes_at(made, "migration", at("2026-11-23T07:00")) == at("2026-11-23T13:00")


def test_a_whole_week_has_no_end() -> None:
    made = calendar({"name": "ever", "from": "00:00", "to": "24:00"})
    assert closes_at(made, "migration", at("2026-11-23T07:00")) is None


def test_a_freeze_beats_a_window() -> None:
    made = calendar(LUNCH, freezes=(YULE,))
    frozen = at("2026-12-20T12:30")
    found = frozen_by(made, frozen)
    assert found is not None
    assert found.reason == "sales"
    assert not open_now(made, "migration", frozen)
    assert next_opening(made, "migration", frozen) == at("2027-01-04T12:00")
    # It closes what has no window as well, and behind it that is open again.
    assert closes_at(made, "maintenance", at("2026-12-01")) == at("2026-12-18T17:00")
    assert next_opening(made, "maintenance", frozen) == at("2027-01-04T06:00")


def test_a_freeze_that_is_long_or_cuts_a_window() -> None:
    long = {**YULE, "from": local("2026-11-23T12:30"), "to": local("2029-01-01")}
    made = calendar(LUNCH, freezes=(long,))
    assert closes_at(made, "migration", at("2026-11-23T12:00")) == at("2026-11-23T12:30")
    assert next_opening(made, "migration", at("2026-11-23T12:40")) == at("2029-01-01T12:00")


def test_two_freezes_in_a_row_are_waited_for_both() -> None:
    second = {**YULE, "name": "again", "from": YULE["to"], "to": local("2027-01-09")}
    made = calendar(freezes=(YULE, second))
    assert next_opening(made, "migration", at("2026-12-20")) == at("2027-01-09")


def test_a_date_is_meant_whole_and_in_the_calendars_zone() -> None:
    day = date(2026, 12, 24)
    made = calendar(freezes=({**YULE, "from": day, "to": day},), zone=OSLO)
    assert is_open(made, "2026-12-23T23:59:59+01:00")
    assert not is_open(made, "2026-12-24T00:00:00+01:00")
    assert not is_open(made, "2026-12-24T23:59:59+01:00")
    assert is_open(made, "2026-12-25T00:00:00+01:00")


def test_an_offset_of_its_own_counts_more_than_the_zone() -> None:
    from_, to = at("2026-12-18T17:00:00-05:00"), at("2026-12-18T18:00:00-05:00")
    made = calendar(freezes=({**YULE, "from": from_, "to": to},), zone=OSLO)
    assert not is_open(made, "2026-12-18T22:30:00Z")
    assert is_open(made, "2026-12-18T23:00:00Z")


# Oslo goes from 02:00 to 03:00 on 2026-03-29, at 01:00Z, and from 03:00 to 02:00 on 2026-10-25.
def window_of(made: Calendar, day: str) -> tuple[str, str] | None:
    """When it opens and closes within the 24 h after a UTC midnight."""
    start = at(day)
    opens = next_opening(made, "migration", start)
    if opens is None or (opens - start).days:
        return None
    closes = closes_at(made, "migration", opens)
    assert closes is not None
    return f"{opens:%H:%M}", f"{closes:%H:%M}"


@pytest.mark.parametrize(
    ("from_", "to", "expected"),
    [
        ("01:00", "04:00", ("00:00", "02:00")),  # an hour shorter
        ("02:30", "04:00", ("01:00", "02:00")),  # begins when clocks jump
        ("01:00", "02:30", ("00:00", "01:00")),  # ends when clocks jump
        ("02:10", "02:50", None),  # never was
        ("03:00", "04:00", ("01:00", "02:00")),
    ],
)
def test_the_hour_that_never_was(from_: str, to: str, expected: tuple[str, str] | None) -> None:
    spring = calendar({"name": "w", "from": from_, "to": to, "days": ["sun"]}, zone=OSLO)
    assert window_of(spring, "2026-03-29") == expected


@pytest.mark.parametrize(
    ("from_", "to", "expected"),
    [
        ("01:00", "04:00", ("23:00", "03:00")),  # an hour longer
        ("02:30", "04:00", ("00:30", "03:00")),  # opens at the first coming
        ("01:00", "02:30", ("23:00", "00:30")),  # and closes at it
        ("02:10", "02:50", ("00:10", "00:50")),  # never opens twice
    ],
)
def test_the_hour_that_was_twice(from_: str, to: str, expected: tuple[str, str]) -> None:
    autumn = calendar({"name": "w", "from": from_, "to": to, "days": ["sun"]}, zone=OSLO)
    assert window_of(autumn, "2026-10-24T22:00") == expected


def test_a_night_over_the_jump_is_as_long_as_its_clock_shows() -> None:
    made = calendar({**NIGHTS, "days": ["sat"]}, zone=OSLO)
    opens = next_opening(made, "migration", at("2026-03-28T12:00"))
    assert opens == at("2026-03-28T21:00")
    assert closes_at(made, "migration", opens) == at("2026-03-29T01:00")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"windows": [{**LUNCH, "to": "12:00"}]}, "has no length"),
        ({"windows": [{**LUNCH, "to": "25:00"}]}, "pattern"),
        ({"windows": [{**LUNCH, "days": ["monday"]}]}, "'mon'"),
        ({"windows": [{**LUNCH, "for": []}]}, "at least 1"),
        ({"freezes": [{**YULE, "to": YULE["from"]}]}, "swap from and to"),
        ({"freezes": [{**YULE, "to": at("2027-01-04")}]}, "both moments an offset"),
        ({"timezone": "Oslo"}, "unknown time zone"),
    ],
)
def test_what_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Calendar.model_validate(given)
