"""What is late by the calendar, and by age."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shippyard.backup.late import Expected, drill_late, how_late, promised_too_much
from shippyard.backup.model import Backup, BackupState
from shippyard.calendar.due import parse_schedule

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=365)
NIGHTLY = parse_schedule("15 2 * * *", "UTC")
EVERY_10_MIN = parse_schedule("*/10 * * * *", "UTC")
HOUR_S = 3600.0


def made(hours_ago: float, state: BackupState = "published") -> Backup:
    at = NOW - timedelta(hours=hours_ago)
    return Backup(f"b{hours_ago}", "shop", "dump", state, "schedule", at)


EXPECTED = Expected("shop", "dump", (NIGHTLY,), LONG_AGO, LONG_AGO, 24 * HOUR_S)
TONIGHTS = made(9.7)


def test_a_nightly_dump_that_came_is_not_late_all_day_long() -> None:
    assert how_late(EXPECTED, [TONIGHTS], NOW) is None
    before_the_next = NOW + timedelta(hours=14.3)
    assert how_late(EXPECTED, [TONIGHTS], before_the_next) is None


def test_a_time_that_came_and_went_with_nothing_begun_was_missed() -> None:
    assert how_late(EXPECTED, [made(33.7)], NOW) == (
        "the dump of 2026-03-04 02:15Z was missed; run: shippyard ctl backup run shop --kind dump"
    )


@pytest.mark.parametrize("state", ["running", "failed"])
def test_what_was_begun_was_not_missed_however_it_goes(state: BackupState) -> None:
    old = made(24.0)
    assert how_late(EXPECTED, [replace(TONIGHTS, state=state), old], NOW) is None


def test_nothing_is_missed_before_it_had_time_to_begin() -> None:
    just_due = NOW.replace(hour=2, minute=20)
    assert how_late(EXPECTED, [made(33.7)], just_due) is None
    assert how_late(EXPECTED, [made(33.7)], just_due.replace(minute=31)) is not None


def test_nothing_is_missed_by_a_daemon_that_came_up_a_minute_ago() -> None:
    fresh = replace(EXPECTED, up_since=NOW - timedelta(minutes=1))
    assert how_late(fresh, [made(24.0)], NOW) is None


def test_nothing_was_expected_before_it_was_watched() -> None:
    new = replace(EXPECTED, watched_since=NOW - timedelta(hours=3))
    assert how_late(new, [], NOW) is None


def test_failing_night_after_night_is_late_when_the_last_good_one_is_too_old() -> None:
    failing = [replace(TONIGHTS, state="failed")]
    assert how_late(EXPECTED, [*failing, made(25.9)], NOW) is None
    assert how_late(EXPECTED, [*failing, made(26.1)], NOW) == (
        "the newest dump is 26.1 h old, at most 24.0 h may be lost; "
        "run: shippyard ctl backup run shop --kind dump"
    )


def test_never_a_good_one_is_late_too() -> None:
    failing = [replace(TONIGHTS, state="failed")]
    watched = replace(EXPECTED, watched_since=NOW - timedelta(hours=30), rpo_s=None)
    assert how_late(watched, failing, NOW) == (
        "there has been no dump for 30.0 h; run: shippyard ctl backup run shop --kind dump"
    )


def test_it_is_late_at_half_of_what_may_be_lost() -> None:
    often = replace(EXPECTED, schedules=(EVERY_10_MIN,), rpo_s=HOUR_S)
    failing = made(0.0, "failed")
    assert how_late(often, [failing, made(0.49)], NOW) is None
    assert "at most 60 min may be lost" in str(how_late(often, [failing, made(0.51)], NOW))


def test_the_future_says_nothing() -> None:
    """A clock that was ahead must not make backups look fresh for years."""
    assert how_late(EXPECTED, [made(-9000), made(33.7)], NOW) is not None


def test_what_is_turned_off_is_never_late() -> None:
    assert how_late(replace(EXPECTED, schedules=()), [], NOW) is None
    assert drill_late(replace(EXPECTED, schedules=()), None, NOW, may_take_s=1) is None


MONTHLY = replace(EXPECTED, schedules=(parse_schedule("0 4 1 * *", "UTC"),))


def test_a_drill_that_was_begun_since_its_time_is_not_late() -> None:
    begun = NOW.replace(day=1, hour=4, minute=1)
    assert drill_late(MONTHLY, begun, NOW, may_take_s=6 * HOUR_S) is None
    assert drill_late(MONTHLY, begun - timedelta(minutes=2), NOW, may_take_s=6 * HOUR_S) == (
        "the drill of 2026-03-01 04:00Z was missed (last 80.0 h ago); "
        "run: shippyard ctl drill run shop"
    )
    assert "(never)" in str(drill_late(MONTHLY, None, NOW, may_take_s=6 * HOUR_S))


def test_a_drill_may_wait_for_others_of_the_same_hour() -> None:
    noon = NOW.replace(day=1, hour=9)
    assert drill_late(MONTHLY, None, noon, may_take_s=6 * HOUR_S) is None
    new = replace(MONTHLY, watched_since=NOW - timedelta(hours=1))
    assert drill_late(new, None, NOW, may_take_s=1) is None


def test_a_calendar_that_is_slower_than_the_promise_is_said_to_be() -> None:
    assert promised_too_much([NIGHTLY], 24 * HOUR_S, NOW) is None
    assert promised_too_much([], HOUR_S, NOW) is None
    assert promised_too_much([NIGHTLY], HOUR_S, NOW) == (
        "a dump every 24.0 h and no WAL can't keep what is promised, to lose at most 60 min; "
        "keep WAL too (backup.clusters), or dump more often"
    )
