"""When schedules are due: every form of a field, days, clock changes, and what is owed."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from shippyard.calendar.due import (
    ATTEMPTS_MAX,
    BadSchedule,
    latest_due,
    missed,
    next_due,
    parse_schedule,
)

OSLO = "Europe/Oslo"


@dataclass(frozen=True)
class Tried:
    due_at: datetime
    outcome: str = "done"
    attempts: int = 1


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def due_times(line: str, timezone: str, first: str, last: str) -> list[str]:
    """Every due time after `first` up to `last`, in UTC."""
    schedule, now, found = parse_schedule(line, timezone), at(first), list[str]()
    while (now := next_due(schedule, now)) <= at(last):
        found.append(now.strftime("%d %H:%M"))
    return found


@pytest.mark.parametrize(
    ("line", "field", "values"),
    [
        ("7 * * * *", "minutes", {7}),
        ("0-3 * * * *", "minutes", {0, 1, 2, 3}),
        ("*/20 * * * *", "minutes", {0, 20, 40}),
        ("10-40/15 * * * *", "minutes", {10, 25, 40}),
        ("1,5-6,*/30 * * * *", "minutes", {0, 1, 5, 6, 30}),
        ("0 23 * * *", "hours", {23}),
        ("0 0 31 * *", "days", {31}),
        ("0 0 1 JAN,jul *", "months", {1, 7}),
        ("0 0 1 nov-dec *", "months", {11, 12}),
        ("0 0 1 12 *", "months", {12}),
        ("0 0 * * mon", "weekdays", {0}),
        ("0 0 * * Sun", "weekdays", {6}),
        ("0 0 * * mon-fri", "weekdays", {0, 1, 2, 3, 4}),
        ("0 0 * * sat-mon", "weekdays", {5, 6, 0}),
        ("0 0 * * sun-tue,thu", "weekdays", {6, 0, 1, 3}),
        ("0 0 * * *", "weekdays", set(range(7))),
    ],
)
def test_a_field_means_these_values(line: str, field: str, values: set[int]) -> None:
    assert getattr(parse_schedule(line, "UTC"), field) == values


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "has 0 fields"),
        ("@daily", "has 1 fields; give five"),
        ("0 0 * * * *", "has 6 fields"),
        ("60 * * * *", "minute '60'"),
        ("-1 * * * *", "minute '-1'"),
        ("5-1 * * * *", "minute '5-1'"),
        ("*/0 * * * *", "minute '*/0'"),
        ("5/10 * * * *", "minute '5/10'"),
        ("1, * * * *", "minute '1,'"),
        ("1-2-3 * * * *", "minute '1-2-3'"),
        ("*-5 * * * *", "minute '*-5'"),
        ("x * * * *", "use 0-59"),
        ("² * * * *", "minute '²'"),
        ("0 24 * * *", "hour '24'"),
        ("0 0 0 * *", "day of month '0'"),
        ("0 0 32 * *", "day of month '32'"),
        ("0 0 1 13 *", "month '13'"),
        ("0 0 1 0-2 *", "month '0-2'"),
        ("0 0 1 dec-jan *", "month 'dec-jan'"),
        ("0 0 1 1-13 *", "month '1-13'"),
        ("0 0 * * 0", "weekdays by name"),
        ("0 0 * * 1-5", "weekdays by name"),
        ("0 0 * * */2", "weekdays by name"),
        ("0 0 * * monday", "use mon, tue"),
        ("0 0 31 2 *", "never comes"),
        ("0 0 31 apr,jun *", "never comes"),
    ],
)
def test_a_line_that_can_not_be_meant_is_refused_in_one_line(line: str, says: str) -> None:
    with pytest.raises(BadSchedule) as refused:
        parse_schedule(line, "UTC")
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_next_is_after_now_and_latest_is_not() -> None:
    schedule = parse_schedule("15 2 * * *", "UTC")
    due = at("2026-03-04 02:15")
    moment = timedelta(microseconds=1)
    assert next_due(schedule, due - moment) == due
    assert next_due(schedule, due) == due + timedelta(days=1)
    assert latest_due(schedule, due) == due
    assert latest_due(schedule, due - moment) == due - timedelta(days=1)


def test_times_are_meant_in_the_schedules_zone() -> None:
    assert next_due(parse_schedule("30 0 * * *", "Asia/Kolkata"), at("2026-03-04 12:00")) == at(
        "2026-03-04 19:00"
    )
    assert latest_due(parse_schedule("30 0 * * *", "Pacific/Auckland"), at("2026-07-04 12:29")) == (
        at("2026-07-03 12:30")
    )


def test_weekdays_are_those_of_the_calendar() -> None:
    schedule = parse_schedule("0 3 * * sun", "UTC")
    assert next_due(schedule, at("2026-03-04 00:00")).strftime("%A %d") == "Sunday 08"
    assert latest_due(schedule, at("2026-03-04 00:00")).strftime("%A %d") == "Sunday 01"


def test_two_restricted_day_fields_mean_either() -> None:
    assert due_times("0 0 13 * fri", "UTC", "2026-03-01 00:00", "2026-03-31 00:00") == [
        "06 00:00",
        "13 00:00",
        "20 00:00",
        "27 00:00",
    ]
    assert due_times("0 0 10 * fri", "UTC", "2026-03-01 00:00", "2026-03-14 00:00") == [
        "06 00:00",
        "10 00:00",
        "13 00:00",
    ]


def test_a_starred_day_field_restricts_nothing() -> None:
    assert due_times("0 0 */10 * fri", "UTC", "2026-05-01 12:00", "2026-12-31 00:00")[0] == (
        "31 00:00"  # 31 July, the first Friday that is also a 1st, 11th, 21st or 31st
    )


def test_an_impossible_date_with_a_weekday_comes_on_the_weekday() -> None:
    schedule = parse_schedule("0 0 31 2 mon", "UTC")
    assert next_due(schedule, at("2026-03-01 00:00")) == at("2027-02-01 00:00")


def test_the_29th_of_february_is_found_across_a_century() -> None:
    schedule = parse_schedule("0 0 29 2 *", "UTC")
    assert next_due(schedule, at("2096-02-29 00:00")) == at("2104-02-29 00:00")
    assert latest_due(schedule, at("2104-02-28 23:59")) == at("2096-02-29 00:00")


def test_daily_work_in_the_skipped_hour_is_due_once_behind_the_gap() -> None:
    # Oslo, 29 March 2026: 02:00 +01 becomes 03:00 +02
    assert due_times("15 2 * * *", OSLO, "2026-03-27 12:00", "2026-03-30 12:00") == [
        "28 01:15",
        "29 01:15",
        "30 00:15",
    ]


def test_daily_work_in_the_doubled_hour_is_due_once_the_first_time() -> None:
    # Oslo, 25 October 2026: 03:00 +02 becomes 02:00 +01
    assert due_times("15 2 * * *", OSLO, "2026-10-23 12:00", "2026-10-26 12:00") == [
        "24 00:15",
        "25 00:15",
        "26 01:15",
    ]


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("2026-03-28 23:45", "2026-03-29 03:15"),
        ("2026-10-24 22:45", "2026-10-25 03:15"),
    ],
)
def test_hourly_work_follows_real_time_through_a_clock_change(first: str, last: str) -> None:
    found = due_times("*/30 * * * *", OSLO, first, last)
    half_hours = int((at(last) - at(first)).total_seconds() // 1800)
    assert len(found) == half_hours == len(set(found))


def test_a_gap_of_half_an_hour_doubles_nothing() -> None:
    # Lord Howe, 4 October 2026: 02:00 +10:30 becomes 02:30 +11
    found = due_times("*/7 * * * *", "Australia/Lord_Howe", "2026-10-03 15:00", "2026-10-03 16:00")
    assert " ".join(t.removeprefix("03 ") for t in found) == (
        "15:05 15:12 15:19 15:26 15:35 15:42 15:49 15:56 16:00"
    )


def test_latest_and_next_agree_over_a_year_of_clock_changes() -> None:
    schedule = parse_schedule("30 1,2,3 * * *", OSLO)
    now = at("2026-01-01 00:00")
    for _ in range(3 * 365):
        due = next_due(schedule, now)
        assert latest_due(schedule, due) == due
        assert latest_due(schedule, due - timedelta(seconds=1)) <= now
        now = due


DAILY = parse_schedule("15 2 * * *", "UTC")
NOW = at("2026-03-04 05:00")
TODAY = at("2026-03-04 02:15")
YESTERDAY = TODAY - timedelta(days=1)


@pytest.mark.parametrize(
    ("last", "owed"),
    [
        (None, None),
        (Tried(TODAY), None),
        (Tried(TODAY, "failed"), None),
        (Tried(TODAY, "running"), None),
        (Tried(TODAY, "interrupted", 1), TODAY),
        (Tried(TODAY, "interrupted", ATTEMPTS_MAX - 1), TODAY),
        (Tried(TODAY, "interrupted", ATTEMPTS_MAX), None),
        (Tried(YESTERDAY), TODAY),
        (Tried(YESTERDAY, "failed"), TODAY),
        (Tried(YESTERDAY, "interrupted", ATTEMPTS_MAX), TODAY),
        (Tried(TODAY - timedelta(days=400)), TODAY),
        (Tried(NOW, "seen", 0), None),
        (Tried(TODAY - timedelta(seconds=1), "seen", 0), TODAY),
    ],
)
def test_what_is_owed(last: Tried | None, owed: datetime | None) -> None:
    assert missed(DAILY, last, NOW) == owed


def test_interrupted_work_of_an_old_schedule_is_owed_at_its_own_time() -> None:
    interrupted = Tried(TODAY + timedelta(hours=1), "interrupted", 1)
    assert missed(DAILY, interrupted, NOW) == interrupted.due_at
