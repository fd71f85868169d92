"""Schedules through clock changes, clocks set back, and two schedulers on one log."""

from datetime import UTC, datetime, timedelta

import pytest

from shippyard.calendar.jobs import Job
from shippyard.calendar.scheduler import Scheduler
from shippyard.state.database import State
from shippyard.state.jobs import JobLog
from shippyard.telemetry.metrics import Metrics
from tests.conftest import Eventually, FakeClock

HOUR_S = 3600.0


class Counted:
    """A scheduler of one nightly job in Oslo; several may share a log."""

    def __init__(self, state: State, clock: FakeClock) -> None:
        self.begun: list[datetime] = []
        self.looks = 0
        self.clock = clock
        self.scheduler = Scheduler(
            [Job("dump", "30 2 * * *", "Europe/Oslo", self._work)],
            JobLog(state),
            clock=clock,
            metrics=Metrics(),
            beat=self._beat,
            tick_s=0.02,
        )

    def _work(self) -> str:
        self.begun.append(self.clock.now())
        return "done"

    def _beat(self) -> None:
        self.looks += 1


def after_some_looks(counted: Counted, eventually: Eventually) -> None:
    goal = counted.looks + 5
    eventually(lambda: counted.looks >= goal)


def at(clock: FakeClock, moment: datetime) -> None:
    clock.advance((moment - clock.now()).total_seconds())


@pytest.mark.parametrize(
    ("night", "due_at"),
    [
        # 02:30 is skipped on 29 March 2026 and meant behind the gap, at 03:30 summer time
        (datetime(2026, 3, 29, tzinfo=UTC), "2026-03-29T01:30:00+00:00"),
        # and comes twice on 25 October, of which the first is meant
        (datetime(2026, 10, 25, tzinfo=UTC), "2026-10-25T00:30:00+00:00"),
    ],
)
def test_a_night_in_which_clocks_change_has_one_run(
    state: State, clock: FakeClock, eventually: Eventually, night: datetime, due_at: str
) -> None:
    at(clock, night - timedelta(hours=12))
    counted = Counted(state, clock)
    counted.scheduler.start()
    try:
        for _ in range(8):  # through the night, half an hour at a time
            at(clock, max(clock.now(), night - timedelta(hours=1)) + timedelta(minutes=30))
            after_some_looks(counted, eventually)
        assert len(counted.begun) == 1
        last = counted.scheduler.describe()[0]["last"]
        assert last["due_at"] == due_at
    finally:
        counted.scheduler.stop()


def test_a_clock_that_is_set_back_runs_nothing_again(
    state: State, clock: FakeClock, eventually: Eventually
) -> None:
    counted = Counted(state, clock)
    counted.scheduler.start()
    try:
        clock.advance(24 * HOUR_S)
        eventually(lambda: counted.begun)
        for back_h in (5, -5, 26, -26):
            clock.advance(-back_h * HOUR_S)
            after_some_looks(counted, eventually)
        assert len(counted.begun) == 1
    finally:
        counted.scheduler.stop()


def test_two_schedulers_on_one_log_do_each_night_once(
    state: State, clock: FakeClock, eventually: Eventually
) -> None:
    one, two = Counted(state, clock), Counted(state, clock)
    one.scheduler.start()
    two.scheduler.start()
    try:
        for night in range(1, 6):
            clock.advance(24 * HOUR_S)
            eventually(lambda night=night: len(one.begun) + len(two.begun) >= night)  # type: ignore[misc]  # a default binds it
            after_some_looks(one, eventually)
            after_some_looks(two, eventually)
        assert len(one.begun) + len(two.begun) == 5
    finally:
        one.scheduler.stop()
        two.scheduler.stop()
