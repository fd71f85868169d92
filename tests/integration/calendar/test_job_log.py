"""The log of jobs on a real state database: claims, attempts, and what stays."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from shippyard.state import jobs
from shippyard.state.database import State
from shippyard.state.jobs import JobLog
from shippyard.state.tables import job_runs

DUE = datetime(2026, 3, 4, 2, 15, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def log(state: State) -> JobLog:
    return JobLog(state)


def claimed(log: JobLog, due_at: datetime = DUE) -> int:
    run_id = log.claim("dump", due_at, due_at)
    assert run_id is not None
    return run_id


def test_a_due_time_is_claimed_once(log: JobLog) -> None:
    run_id = claimed(log)
    assert log.claim("dump", DUE, DUE) is None
    log.finish(run_id, "done", "ok", DUE)
    assert log.claim("dump", DUE, DUE) is None
    assert log.claim("dump", DUE + DAY, DUE + DAY) is not None


def test_failed_work_is_over_too(log: JobLog) -> None:
    log.finish(claimed(log), "failed", "disk full", DUE)
    assert log.claim("dump", DUE, DUE) is None


def test_a_job_that_runs_is_not_begun_again_for_another_due_time(log: JobLog) -> None:
    claimed(log)
    assert log.claim("dump", DUE + DAY, DUE + DAY) is None
    assert log.claim("prune", DUE + DAY, DUE + DAY) is not None


def test_interrupted_work_may_be_claimed_again_and_is_counted(log: JobLog) -> None:
    for attempts in (1, 2):
        claimed(log)
        assert log.interrupt_running(DUE) == ("dump",)
        tried = log.newest("dump", DUE)
        assert tried is not None
        assert (tried.due_at, tried.outcome, tried.attempts) == (DUE, "interrupted", attempts)
    assert log.interrupt_running(DUE) == ()


def test_an_end_is_recorded_once(log: JobLog) -> None:
    run_id = claimed(log)
    log.interrupt_running(DUE)
    log.finish(run_id, "done", "late", DUE + DAY)
    last = log.last_run("dump")
    assert last is not None
    assert (last.outcome, last.finished_at) == ("interrupted", DUE)


def test_a_job_is_known_from_its_first_sight_and_that_is_no_run(log: JobLog) -> None:
    assert log.newest("dump", DUE) is None
    log.begin_counting("dump", DUE)
    log.begin_counting("dump", DUE + DAY)
    tried = log.newest("dump", DUE + DAY)
    assert tried is not None
    assert (tried.due_at, tried.attempts) == (DUE, 0)
    assert log.last_run("dump") is None


def test_due_times_of_a_clock_that_was_ahead_are_left_out(log: JobLog) -> None:
    log.finish(claimed(log, DUE), "done", "", DUE)
    log.finish(claimed(log, DUE + 30 * DAY), "done", "", DUE + 30 * DAY)
    tried = log.newest("dump", DUE + DAY)
    assert tried is not None
    assert tried.due_at == DUE


def test_last_done_skips_failures(log: JobLog) -> None:
    assert log.last_done("dump") is None
    log.finish(claimed(log), "done", "", DUE)
    log.finish(claimed(log, DUE + DAY), "failed", "", DUE + DAY)
    assert log.last_done("dump") == DUE


def test_old_runs_of_the_same_job_go(
    log: JobLog, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "RUNS_KEPT", 3)
    log.begin_counting("prune", DUE)
    for day in range(6):
        log.finish(claimed(log, DUE + day * DAY), "done", "", DUE)
    with state.read() as connection:
        rows = select(job_runs.c.job, func.count()).group_by(job_runs.c.job)
        assert sorted(map(tuple, connection.execute(rows))) == [("dump", 3), ("prune", 1)]
    tried = log.newest("dump", DUE + 30 * DAY)
    assert tried is not None
    assert tried.due_at == DUE + 5 * DAY
