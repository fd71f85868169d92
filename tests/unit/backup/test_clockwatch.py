"""The wall clock is believed only when it fits the time that was noted last."""

from datetime import UTC, datetime, timedelta

import pytest

from shippyard.backup.clockwatch import LOOKS_APART, OFF_MAX, RANGES_KEPT, Clockwatch, Seen, watch
from shippyard.backup.keepable import Clockwork
from shippyard.host.uptime import Boot, since_boot
from shippyard.state.database import State
from shippyard.state.notes import Notes

T0 = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
HOUR = timedelta(hours=1)
YEARS = timedelta(days=3 * 365)


def after(hours: float, *, boot: str = "a", shows: datetime | None = None) -> tuple[datetime, Boot]:
    """What the clocks show some hours on."""
    up_s = hours * 3600 if boot == "a" else 30.0
    return shows or T0 + timedelta(hours=hours), Boot(boot, up_s)


FIRST = Seen(T0, Boot("a", 0.0))


def test_the_first_look_knows_nothing_to_compare() -> None:
    assert watch(None, *after(0)) == FIRST


@pytest.mark.parametrize("hours", [0.02, 0.9, 5, 24 * 30])
def test_a_stop_of_the_daemon_is_no_jump(hours: float) -> None:
    seen = watch(FIRST, *after(hours))
    assert (seen.at, seen.is_off, seen.right_since) == (T0 + hours * HOUR, False, None)


@pytest.mark.parametrize("jump", [YEARS, -YEARS, 1.1 * HOUR, -1.1 * HOUR])
def test_a_jump_within_one_boot_is_seen_and_the_right_time_goes_on(jump: timedelta) -> None:
    now, boot = after(2)
    seen = watch(FIRST, now + jump, boot)
    assert (seen.at, seen.is_off) == (now, True)
    later, boot = after(200)
    still = watch(seen, later + jump, boot)
    assert (still.at, still.is_off) == (later, True)


def test_a_clock_that_comes_back_is_believed_from_then_on() -> None:
    off = watch(FIRST, *after(1, shows=T0 + YEARS))
    back = watch(off, *after(2))
    wrong = ((T0 + YEARS, T0 + YEARS),)
    assert back == Seen(T0 + 2 * HOUR, Boot("a", 7200.0), False, T0 + 2 * HOUR, wrong)
    assert watch(back, *after(3)).right_since == T0 + 2 * HOUR


def test_every_stretch_of_wrong_time_is_remembered_up_to_a_bound() -> None:
    seen = watch(FIRST, *after(1, shows=T0 + YEARS))
    seen = watch(seen, *after(30, shows=T0 + YEARS + 29 * HOUR))
    seen = watch(seen, *after(31, shows=T0 - YEARS))
    assert seen.wrong == (
        (T0 + YEARS, T0 + YEARS + 29 * HOUR),
        (T0 - YEARS, T0 - YEARS),
    )
    for n in range(200):
        seen = watch(seen, *after(31, shows=T0 + (n + 2) * YEARS))
    assert len(seen.wrong) == RANGES_KEPT


def test_a_machine_that_was_off_for_a_weekend_is_believed_once_there_are_new_backups() -> None:
    quick = watch(FIRST, *after(0.5, boot="b"))
    assert (quick.is_off, quick.right_since) == (False, None)
    weekend = watch(FIRST, *after(60, boot="b"))
    assert (weekend.is_off, weekend.right_since) == (False, T0 + 60 * HOUR)


@pytest.mark.parametrize("jump", [-2 * HOUR, -YEARS, OFF_MAX + 2 * HOUR, YEARS])
def test_a_boot_with_a_clock_that_went_back_or_far_ahead_is_not_believed(jump: timedelta) -> None:
    seen = watch(FIRST, *after(0, boot="b", shows=T0 + jump))
    assert (seen.at, seen.is_off) == (T0, True)


def test_a_boot_does_not_make_a_clock_right_that_goes_on_being_wrong() -> None:
    off = watch(FIRST, *after(1, shows=T0 + 3 * HOUR))
    assert watch(off, *after(0, boot="b", shows=T0 + 13 * HOUR)).is_off
    years_off = watch(FIRST, *after(1, shows=T0 + YEARS))
    assert watch(years_off, *after(0, boot="b", shows=T0 + YEARS + 10 * HOUR)).is_off
    assert not watch(years_off, *after(0, boot="b", shows=T0 + 10 * HOUR)).is_off


def test_where_no_boot_is_told_every_look_counts_as_one() -> None:
    nameless = Seen(T0, Boot("", 0.0))
    assert watch(nameless, T0 - 2 * HOUR, Boot("", 60.0)).is_off


def test_it_survives_a_restart_and_an_operator_may_accept_a_time(state: State) -> None:
    moments = iter(
        [Boot("a", 0.0), Boot("a", 60.0), Boot("a", 120.0), Boot("a", 121.0), Boot("a", 180.0)]
    )
    jumped = T0 + YEARS
    before = Clockwatch(Notes(state), lambda: next(moments))
    assert before.look(T0) == Clockwork(None, None)
    watch_ = Clockwatch(Notes(state), lambda: next(moments))
    minute = timedelta(seconds=60)
    assert watch_.look(T0 + minute) == Clockwork(T0 + minute, None)
    wrong = ((jumped - LOOKS_APART, jumped + LOOKS_APART),)
    assert watch_.look(jumped) == Clockwork(T0 + 2 * minute, None, wrong)
    watch_.accept(jumped)
    now = jumped + timedelta(seconds=59)
    assert watch_.look(now) == Clockwork(now, jumped)


def test_the_kernel_tells_its_boot_and_time_goes_on() -> None:
    one, two = since_boot(), since_boot()
    assert one.id == two.id
    assert two.up_s >= one.up_s > 0
