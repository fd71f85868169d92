"""Owns running recurring jobs: on time, late when they were missed, never twice at once.

APScheduler wakes each job at its due time and gives it a thread; whether work is owed is always
read from the log. A look at the log every `tick_s` finds what a stopped daemon or a clock step
missed. Ending the programs that a job started is their owner's business.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from prometheus_client import Gauge

from shippyard.calendar.due import BadSchedule, Schedule, missed, next_due, parse_schedule
from shippyard.calendar.jobs import OUTCOMES, Job, JobLog, JobRun, Outcome
from shippyard.host.clock import Clock
from shippyard.host.secrets import mask
from shippyard.telemetry.metrics import Metrics

TICK_S = 30.0
STOP_TIMEOUT_S = 2.0
DETAIL_CHARS = 500

logger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Planned:
    job: Job
    schedule: Schedule


@dataclass(frozen=True)
class _Ended:
    """How a run ended, until the log has it."""

    outcome: Outcome
    detail: str
    at: datetime


class Scheduler:
    """Runs `jobs` until stopped; stopping twice, or before starting, is fine.

    Raises:
        BadSchedule: a job's schedule can't be used; names the job.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        log: JobLog,
        *,
        clock: Clock,
        metrics: Metrics,
        beat: Callable[[], None],
        tick_s: float = TICK_S,
    ) -> None:
        self._planned = {job.name: _plan(job) for job in jobs}
        self._log = log
        self._clock = clock
        self._metrics = metrics
        self._beat = beat
        self._tick_s = tick_s
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._running: set[str] = set()
        self._shown: set[str] = set()
        self._unrecorded: dict[int, _Ended] = {}
        self._timer = _timer_for(len(self._planned))
        self._thread = threading.Thread(target=self._turn, name="calendar", daemon=True)

    def recover(self) -> None:
        """Once, when the process starts: what the last one left running was interrupted."""
        for name in self._log.interrupt_running(self._clock.now()):
            logger.warning("job.found_interrupted", job=name)
            self._metrics.job_runs.labels(name, "interrupted").inc()

    def start(self) -> None:
        """Take up what is owed, then run what is due from now on."""
        now = self._clock.now()
        for planned in self._planned.values():
            self._take_up(planned, now)
        self._timer.start()
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing more. What runs is not waited for; if it raises now, it was interrupted.

        The times of its jobs are shown no more: who comes next may not have them.
        """
        self._stopping.set()
        self._forget_times()
        if self._thread.is_alive():
            self._thread.join(STOP_TIMEOUT_S)
        if self._timer.running:
            self._timer.shutdown(wait=False)

    def describe(self) -> list[dict[str, Any]]:
        """Each job with its next due time and last run, ready for JSON."""
        return [self._describe(planned) for planned in self._planned.values()]

    def overdue(self, grace_s: float) -> dict[str, float]:
        """Jobs that should have begun longer than `grace_s` ago and have not: how late, in s."""
        now = self._clock.now()
        owed = {n: self._owed(p, now) for n, p in self._planned.items() if not self._is_running(n)}
        late_s = {name: (now - at).total_seconds() for name, at in owed.items() if at}
        return {name: late for name, late in late_s.items() if late > grace_s}

    def look(self) -> None:
        """Begin what is owed. Called every `tick_s`; never raises."""
        try:
            self._record_ended()
            for planned in self._planned.values():
                self._wake_if_owed(planned)
            self._timer.wakeup()  # it reads the clock anew, which may have been stepped
        except Exception:
            logger.exception("calendar.look_failed")

    def _turn(self) -> None:
        while not self._stopping.is_set():
            self._beat()
            self.look()
            self._stopping.wait(self._tick_s)

    def _take_up(self, planned: _Planned, now: datetime) -> None:
        name = planned.job.name
        self._log.begin_counting(name, now)
        for outcome in OUTCOMES:
            self._metrics.job_runs.labels(name, outcome)
        self._show_times(planned, now)
        self._timer.add_job(
            self._run,
            _DueTrigger(planned.schedule),
            args=[planned],
            id=name,
            name=name,
            # Never too late for the timer: whether the work is still owed, the log says.
            misfire_grace_time=None,
            coalesce=True,
            max_instances=1,
        )

    def _wake_if_owed(self, planned: _Planned) -> None:
        now = self._clock.now()
        name = planned.job.name
        self._show_times(planned, now)
        if not self._is_running(name) and self._owed(planned, now):
            self._timer.modify_job(name, next_run_time=now)

    def _show_times(self, planned: _Planned, now: datetime) -> None:
        """As the log has them: work that a scheduler before this one began may have ended since."""
        name = planned.job.name
        self._show(self._metrics.job_next_due, name, next_due(planned.schedule, now))
        if done_at := self._log.last_done(name):
            self._show(self._metrics.job_last_success, name, done_at)

    def _show(self, gauge: Gauge, name: str, at: datetime) -> None:
        """Not once it stops: a job that left the configuration must not look overdue."""
        with self._lock:
            if not self._stopping.is_set():
                self._shown.add(name)
                gauge.labels(name).set(at.timestamp())

    def _forget_times(self) -> None:
        """Only what this scheduler has shown, and once: later it may be the next one's."""
        with self._lock:
            for name in self._shown:
                self._metrics.job_next_due.remove(name)
                self._metrics.job_last_success.remove(name)
            self._shown.clear()

    def _owed(self, planned: _Planned, now: datetime) -> datetime | None:
        return missed(planned.schedule, self._log.newest(planned.job.name, now), now)

    def _is_running(self, name: str) -> bool:
        with self._lock:
            return name in self._running

    def _run(self, planned: _Planned) -> None:
        """Do what is owed, if anything is; runs in a thread of the timer."""
        name = planned.job.name
        with self._lock:
            self._running.add(name)
        try:
            self._claim_and_run(planned)
        except Exception:
            logger.exception("job.log_failed", job=name)
        finally:
            with self._lock:
                self._running.discard(name)

    def _claim_and_run(self, planned: _Planned) -> None:
        now = self._clock.now()
        due_at = self._owed(planned, now)
        if due_at is None or self._stopping.is_set():
            return
        run_id = self._log.claim(planned.job.name, due_at, now)
        if run_id is not None:
            self._work(planned.job, run_id, due_at)

    def _work(self, job: Job, run_id: int, due_at: datetime) -> None:
        began = self._clock.monotonic()
        late_s = (self._clock.now() - due_at).total_seconds()
        ended, error = self._outcome_of(job)
        log = logger.bind(
            job=job.name,
            outcome=ended.outcome,
            detail=ended.detail,
            due_at=due_at.isoformat(),
            late_s=round(late_s, 3),
            elapsed_s=round(self._clock.monotonic() - began, 3),
        )
        if error:
            log.error("job.finished", exc_info=error)
        else:
            log.info("job.finished")
        self._count(job.name, ended)
        with self._lock:
            self._unrecorded[run_id] = ended
        self._record_ended()

    def _outcome_of(self, job: Job) -> tuple[_Ended, Exception | None]:
        try:
            detail = job.run()
        except Exception as error:  # noqa: BLE001  a job's failure is its outcome, whatever it is
            outcome: Outcome = "interrupted" if self._stopping.is_set() else "failed"
            said = _one_line(str(error)) or type(error).__name__
            return _Ended(outcome, said, self._clock.now()), error
        return _Ended("done", _one_line(detail), self._clock.now()), None

    def _count(self, name: str, ended: _Ended) -> None:
        self._metrics.job_runs.labels(name, ended.outcome).inc()
        if ended.outcome == "done":
            self._show(self._metrics.job_last_success, name, ended.at)

    def _record_ended(self) -> None:
        """Write outcomes to the log; what can't be written now is tried again at the next look."""
        with self._lock:
            waiting = dict(self._unrecorded)
        for run_id, ended in waiting.items():
            self._log.finish(run_id, ended.outcome, ended.detail, ended.at)
            with self._lock:
                self._unrecorded.pop(run_id, None)

    def _describe(self, planned: _Planned) -> dict[str, Any]:
        last = self._log.last_run(planned.job.name)
        return {
            "name": planned.job.name,
            "schedule": planned.schedule.text,
            "next_due": next_due(planned.schedule, self._clock.now()).isoformat(),
            "last": _as_document(last) if last else None,
        }


class _DueTrigger(BaseTrigger):  # type: ignore[misc]  # the library has no types
    """Our own reading of schedules for APScheduler; its own differs from crontab(5).

    What was due before `now` is left to the log, so the previous time means nothing here.
    """

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    def get_next_fire_time(self, _previous: datetime | None, now: datetime) -> datetime:
        """When to wake next."""
        return next_due(self._schedule, now)


def _timer_for(jobs: int) -> BackgroundScheduler:
    # A thread for each job: one that takes hours must not hold up another.
    return BackgroundScheduler(
        jobstores={"default": MemoryJobStore()},
        executors={"default": ThreadPoolExecutor(max(1, jobs))},
        timezone=UTC,
        daemon=True,
    )


def _plan(job: Job) -> _Planned:
    try:
        return _Planned(job, parse_schedule(job.schedule, job.timezone))
    except BadSchedule as error:
        raise BadSchedule(f"job {job.name}: {error}") from None


def _as_document(run: JobRun) -> dict[str, Any]:
    return {
        "due_at": run.due_at.isoformat(),
        "started_at": run.started_at.isoformat(),
        "finished_at": run.finished_at.isoformat() if run.finished_at else None,
        "outcome": run.outcome,
        "detail": run.detail,
    }


def _one_line(text: str) -> str:
    return " ".join(mask(text).split())[:DETAIL_CHARS]
