"""Owns what a recurring job is, and what its log must be able to remember. Runs nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from shippyard.calendar.due import Tried

Outcome = Literal["done", "failed", "interrupted"]
OUTCOMES: tuple[Outcome, ...] = ("done", "failed", "interrupted")


@dataclass(frozen=True)
class Job:
    """Recurring work. `run` says in one line what it did, and raises when it failed.

    `schedule` is a crontab line with weekdays by name, its times meant in `timezone`.
    """

    name: str
    schedule: str
    timezone: str
    run: Callable[[], str]


class JobRun(Protocol):
    """One run of a job, as it is remembered."""

    @property
    def due_at(self) -> datetime:
        """The due time it was run for."""
        ...

    @property
    def started_at(self) -> datetime:
        """When it was begun."""
        ...

    @property
    def finished_at(self) -> datetime | None:
        """When it ended; None while it runs."""
        ...

    @property
    def outcome(self) -> str:
        """`running`, or one of `OUTCOMES`."""
        ...

    @property
    def detail(self) -> str:
        """What it did, or why it failed; one line."""
        ...


class JobLog(Protocol):
    """Remembers runs across restarts. Every method may raise when the log can't be reached."""

    def begin_counting(self, job: str, at: datetime) -> None:
        """Owe due times of `job` from `at` on; does nothing for a job already known."""
        ...

    def newest(self, job: str, until: datetime) -> Tried | None:
        """The newest due time of `job` up to `until` that was tried; None for an unknown job.

        Later ones are left out: a clock that was ahead must not silence a job for weeks.
        """
        ...

    def claim(self, job: str, due_at: datetime, at: datetime) -> int | None:
        """Record that work begins; None when `job` runs, or this due time's work is over."""
        ...

    def finish(self, run_id: int, outcome: Outcome, detail: str, at: datetime) -> None:
        """Record how a claimed run ended."""
        ...

    def interrupt_running(self, at: datetime) -> tuple[str, ...]:
        """Record runs that never ended as interrupted; names their jobs."""
        ...

    def last_run(self, job: str) -> JobRun | None:
        """The run of `job` begun last."""
        ...

    def last_done(self, job: str) -> datetime | None:
        """When `job` last ended well."""
        ...
