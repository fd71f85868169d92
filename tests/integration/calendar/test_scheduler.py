"""The scheduler on a real state database: missed, interrupted, overlapping, failing, stopping."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from shippyard.calendar.due import BadSchedule
from shippyard.calendar.jobs import Job
from shippyard.calendar.scheduler import Scheduler
from shippyard.host.clock import Clock, SystemClock
from shippyard.host.pulse import Pulse
from shippyard.host.secrets import remember
from shippyard.state.database import State
from shippyard.state.jobs import JobLog
from shippyard.telemetry.metrics import Metrics
from tests.conftest import Eventually, FakeClock

DAY_S = 86_400.0
DUE = datetime(2026, 3, 5, 2, 15, tzinfo=UTC)  # the first after the fake clock's start


class Work:
    """A job's body that counts, and holds until let go."""

    def __init__(self, *, held: bool = False) -> None:
        self.begun = 0
        self.at_once = 0
        self.most_at_once = 0
        self.let_go = threading.Event()
        self.error: Exception | None = None
        if not held:
            self.let_go.set()

    def __call__(self) -> str:
        self.begun += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            assert self.let_go.wait(20)
            if self.error:
                raise self.error
            return "took one"
        finally:
            self.at_once -= 1


class Daemon:
    """What lives for one start of the scheduler; several may share a state."""

    def __init__(self, state: State, clock: Clock) -> None:
        self.log = JobLog(state)
        self.clock = clock
        self.metrics = Metrics()
        self.turns = 0

    @contextmanager
    def running(self, work: Callable[[], str], *, reload: bool = False) -> Iterator[Scheduler]:
        scheduler = self.scheduler(work, "15 2 * * *")
        if not reload:
            scheduler.recover()
        scheduler.start()
        try:
            yield scheduler
        finally:
            scheduler.stop()

    def scheduler(self, work: Callable[[], str], schedule: str) -> Scheduler:
        return Scheduler(
            [Job("dump", schedule, "UTC", work)],
            self.log,
            clock=self.clock,
            metrics=self.metrics,
            beat=self._beat,
            tick_s=0.02,
        )

    def _beat(self) -> None:
        self.turns += 1

    def counted(self, outcome: str) -> float:
        labels = {"job_name": "dump", "outcome": outcome}
        return self.metrics.registry.get_sample_value("shippyard_job_runs_total", labels) or 0.0


@pytest.fixture
def daemon(state: State, clock: FakeClock) -> Daemon:
    return Daemon(state, clock)


def some_looks(daemon: Daemon, eventually: Eventually, looks: int = 5) -> None:
    """Wait until the scheduler has looked several times more."""
    goal = daemon.turns + looks
    eventually(lambda: daemon.turns >= goal)


def last(scheduler: Scheduler) -> dict[str, Any]:
    found = scheduler.describe()[0]["last"]
    assert isinstance(found, dict)
    return found


def ended(scheduler: Scheduler) -> Callable[[], bool]:
    return lambda: bool((run := scheduler.describe()[0]["last"]) and run["finished_at"])


def times(daemon: Daemon) -> tuple[float | None, float | None]:
    """When the job is next due, and when it last ended well, as metrics have it."""
    value = daemon.metrics.registry.get_sample_value
    return (
        value("shippyard_job_next_due_timestamp_seconds", {"job_name": "dump"}),
        value("shippyard_job_last_success_timestamp_seconds", {"job_name": "dump"}),
    )


def test_a_first_start_runs_nothing(daemon: Daemon, eventually: Eventually) -> None:
    work = Work()
    with daemon.running(work) as scheduler:
        some_looks(daemon, eventually)
        assert scheduler.describe() == [
            {
                "name": "dump",
                "schedule": "15 2 * * *",
                "next_due": "2026-03-05T02:15:00+00:00",
                "last": None,
            }
        ]
    assert work.begun == 0


def test_a_due_time_that_a_clock_step_jumped_over_is_worked_on_once(
    daemon: Daemon, clock: FakeClock, eventually: Eventually
) -> None:
    work = Work()
    with daemon.running(work) as scheduler:
        clock.advance(DAY_S)
        eventually(ended(scheduler))
        some_looks(daemon, eventually)
        assert last(scheduler) == {
            "due_at": DUE.isoformat(),
            "started_at": clock.now().isoformat(),
            "finished_at": clock.now().isoformat(),
            "outcome": "done",
            "detail": "took one",
        }
        assert times(daemon)[1] == clock.now().timestamp()
    assert work.begun == 1
    assert daemon.counted("done") == 1


def test_days_missed_while_down_are_made_up_by_one_run_of_the_newest(
    state: State, clock: FakeClock, eventually: Eventually
) -> None:
    first, second, work = Daemon(state, clock), Daemon(state, clock), Work()
    with first.running(work):
        some_looks(first, eventually)
    clock.advance(10 * DAY_S)
    with second.running(work) as scheduler:
        eventually(ended(scheduler))
        some_looks(second, eventually)
        assert last(scheduler)["due_at"] == (DUE + timedelta(days=9)).isoformat()
    assert work.begun == 1


def test_work_that_a_kill_interrupted_is_done_again_once(
    daemon: Daemon, clock: FakeClock, eventually: Eventually
) -> None:
    daemon.log.begin_counting("dump", clock.now())
    clock.advance(DAY_S)
    daemon.log.claim("dump", DUE, clock.now())  # and then the daemon was killed
    work = Work()
    with daemon.running(work) as scheduler:
        eventually(lambda: daemon.counted("done"))
        some_looks(daemon, eventually)
        assert last(scheduler)["due_at"] == DUE.isoformat()
    assert work.begun == 1
    assert daemon.counted("interrupted") == 1


def test_work_that_a_stop_ended_is_done_again_after_the_next_start(
    state: State, clock: FakeClock, eventually: Eventually
) -> None:
    first, second = Daemon(state, clock), Daemon(state, clock)
    stopped = Work(held=True)
    stopped.error = RuntimeError("pg_dump: terminated")
    with first.running(stopped) as scheduler:
        clock.advance(DAY_S)
        eventually(lambda: stopped.begun)
    stopped.let_go.set()  # the program it waited for is ended after the scheduler stopped
    eventually(ended(scheduler))
    assert last(scheduler)["outcome"] == "interrupted"
    again = Work()
    with second.running(again) as scheduler:
        eventually(lambda: second.counted("done"))
        some_looks(second, eventually)
    assert again.begun == 1


def test_work_that_goes_on_through_a_reload_is_left_to_end(
    state: State, clock: FakeClock, eventually: Eventually
) -> None:
    first, second, work = Daemon(state, clock), Daemon(state, clock), Work(held=True)
    with first.running(work):
        clock.advance(DAY_S)
        eventually(lambda: work.begun)
    with second.running(work, reload=True) as scheduler:
        some_looks(second, eventually)
        clock.advance(DAY_S)
        some_looks(second, eventually)
        assert work.begun == 1
        work.let_go.set()
        eventually(lambda: second.counted("done"))
        assert last(scheduler)["due_at"] == (DUE + timedelta(days=1)).isoformat()
    assert work.begun == 2
    assert work.most_at_once == 1
    assert first.counted("done") == 1


def test_a_job_never_overlaps_itself_and_then_works_on_the_newest(
    daemon: Daemon, clock: FakeClock, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    work = Work(held=True)
    with daemon.running(work) as scheduler:
        clock.advance(DAY_S)
        eventually(lambda: work.begun)
        for _ in range(3):
            clock.advance(DAY_S)
            some_looks(daemon, eventually, 3)
        assert work.begun == 1
        work.let_go.set()
        newest = (DUE + timedelta(days=3)).isoformat()
        eventually(lambda: last(scheduler)["due_at"] == newest and daemon.counted("done") == 2)
        some_looks(daemon, eventually)
    assert work.begun == 2
    assert work.most_at_once == 1
    assert not caplog.records  # the timer would warn each time it is asked for a job that runs


def test_a_job_that_raises_is_recorded_masked_in_one_line_and_runs_again_next_time(
    daemon: Daemon, clock: FakeClock, eventually: Eventually
) -> None:
    remember("hunter2hunter2")
    work = Work()
    work.error = RuntimeError("no entry\nfor hunter2hunter2")
    with daemon.running(work) as scheduler:
        clock.advance(DAY_S)
        eventually(ended(scheduler))
        some_looks(daemon, eventually)
        assert last(scheduler)["outcome"] == "failed"
        assert last(scheduler)["detail"] == "no entry for [secret]"
        assert work.begun == 1
        work.error = None
        clock.advance(DAY_S)
        eventually(lambda: daemon.counted("done"))
    assert daemon.counted("failed") == 1


def test_a_clock_that_was_a_month_ahead_silences_nothing(
    daemon: Daemon, clock: FakeClock, eventually: Eventually
) -> None:
    work = Work()
    with daemon.running(work):
        clock.advance(30 * DAY_S)
        eventually(lambda: daemon.counted("done") == 1)
        clock.advance(-29 * DAY_S)
        eventually(lambda: daemon.counted("done") == 2)


def test_a_log_that_can_not_be_written_for_a_while_loses_no_outcome(
    daemon: Daemon, clock: FakeClock, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = 0
    finish = daemon.log.finish

    def full(*arguments: Any) -> None:
        nonlocal refusals
        if refusals < 4:
            refusals += 1
            raise OperationalError("update", {}, OSError("disk full"))
        finish(*arguments)

    monkeypatch.setattr(daemon.log, "finish", full)
    work = Work()
    with daemon.running(work) as scheduler:
        clock.advance(DAY_S)
        eventually(ended(scheduler))
        assert last(scheduler)["outcome"] == "done"
        clock.advance(DAY_S)
        eventually(lambda: daemon.counted("done") == 2)
    assert refusals == 4


def test_a_log_that_can_not_be_read_stops_no_turn(
    daemon: Daemon, clock: FakeClock, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = daemon.log.newest

    def broken(job: str, until: datetime) -> None:
        raise OperationalError("select", {}, OSError("I/O error"))

    work = Work()
    with daemon.running(work):
        monkeypatch.setattr(daemon.log, "newest", broken)
        clock.advance(DAY_S)
        some_looks(daemon, eventually, 2)
        assert work.begun == 0
        monkeypatch.setattr(daemon.log, "newest", newest)
        eventually(lambda: daemon.counted("done") == 1)


def test_a_job_is_woken_at_its_time_by_the_timer_itself(
    state: State, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = Daemon(state, SystemClock())
    soon = daemon.clock.now() + timedelta(seconds=0.5)
    later = soon + timedelta(days=1)
    monkeypatch.setattr(
        "shippyard.calendar.scheduler.next_due", lambda _, now: soon if now < soon else later
    )
    work = Work()
    scheduler = daemon.scheduler(work, "* * * * *")
    monkeypatch.setattr(scheduler, "_tick_s", 60.0)  # no second look comes to help
    owed = iter([None, soon])  # the look at the start finds nothing; the timer's call does
    monkeypatch.setattr(scheduler, "_owed", lambda *_: next(owed, None))
    scheduler.start()
    try:
        eventually(lambda: work.begun == 1)
        assert daemon.clock.now() >= soon
    finally:
        scheduler.stop()


def test_metrics_say_what_was_known_before_and_what_comes(
    state: State, clock: FakeClock, eventually: Eventually
) -> None:
    log = JobLog(state)
    run_id = log.claim("dump", clock.now(), clock.now())
    assert run_id is not None
    log.finish(run_id, "done", "", clock.now())
    daemon = Daemon(state, clock)
    with daemon.running(Work()):
        some_looks(daemon, eventually)
        value = daemon.metrics.registry.get_sample_value
        assert value("shippyard_job_last_success_timestamp_seconds", {"job_name": "dump"}) == (
            clock.now().timestamp()
        )
        assert (
            value("shippyard_job_next_due_timestamp_seconds", {"job_name": "dump"})
            == DUE.timestamp()
        )
        assert value("shippyard_job_runs_total", {"job_name": "dump", "outcome": "failed"}) == 0


@pytest.fixture
def done_before(daemon: Daemon, clock: FakeClock) -> float:
    """The job ended well at this time, before the daemon's start."""
    run_id = daemon.log.claim("dump", clock.now(), clock.now())
    assert run_id is not None
    daemon.log.finish(run_id, "done", "", clock.now())
    return clock.now().timestamp()


def test_a_stopped_scheduler_shows_no_times_and_the_next_one_shows_them_anew(
    daemon: Daemon, done_before: float
) -> None:
    with daemon.running(Work()) as old:
        assert times(daemon) == (DUE.timestamp(), done_before)
        old.stop()
        assert times(daemon) == (None, None)
        old.look()
        assert times(daemon) == (None, None)
        never_started = daemon.scheduler(Work(), "15 2 * * *")
        with daemon.running(Work(), reload=True):
            old.stop()
            never_started.stop()
            assert times(daemon) == (DUE.timestamp(), done_before)
    assert times(daemon) == (None, None)


def test_work_that_outlives_its_scheduler_is_shown_by_the_next_one_alone(
    daemon: Daemon, clock: FakeClock, eventually: Eventually
) -> None:
    work = Work(held=True)
    with daemon.running(work) as old:
        clock.advance(DAY_S)
        eventually(lambda: work.begun)
    work.let_go.set()
    eventually(ended(old))
    assert times(daemon) == (None, None)
    assert daemon.counted("done") == 1
    work.let_go.clear()
    with daemon.running(work, reload=True) as old:
        clock.advance(DAY_S)
        eventually(lambda: work.begun == 2)
        old.stop()
        with daemon.running(Work(), reload=True):
            before = times(daemon)[1]
            clock.advance(60)
            work.let_go.set()
            eventually(ended(old))
            eventually(lambda: times(daemon)[1] == clock.now().timestamp())
            assert before == clock.now().timestamp() - DAY_S - 60


def test_stopping_is_safe_before_the_start_twice_and_in_the_middle_of_work(
    daemon: Daemon, clock: FakeClock, eventually: Eventually
) -> None:
    daemon.scheduler(Work(), "* * * * *").stop()
    work = Work(held=True)
    real = SystemClock()
    with daemon.running(work) as scheduler:
        clock.advance(DAY_S)
        eventually(lambda: work.begun)
        began = real.monotonic()
        scheduler.stop()
        scheduler.stop()
        assert real.monotonic() - began < 3
    work.let_go.set()
    eventually(ended(scheduler))
    assert last(scheduler)["outcome"] == "done"


def test_a_bad_schedule_names_its_job(daemon: Daemon) -> None:
    with pytest.raises(BadSchedule, match=r"job dump: .* weekdays by name"):
        daemon.scheduler(Work(), "0 3 * * 0")


def test_its_turns_are_beats(state: State, clock: FakeClock, eventually: Eventually) -> None:
    pulse = Pulse(clock)
    scheduler = Scheduler(
        [],
        JobLog(state),
        clock=clock,
        metrics=Metrics(),
        beat=pulse.register("calendar", 90),
        tick_s=0.02,
    )
    scheduler.start()
    clock.advance(100)
    eventually(lambda: not pulse.stuck())
    scheduler.stop()
    clock.advance(100)
    assert pulse.stuck() == ["calendar"]
