"""Owns the log of recurring jobs: which due time was worked on, when, and how it ended.

Work is claimed by compare-and-set, so a due time is never worked on twice at once. Decides nothing
about what is due.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, delete, func, insert, select, update

from shippyard.state.database import State
from shippyard.state.tables import job_runs

RUNS_KEPT = 1000
"""Rows kept of one job; older ones go when a new run begins."""

# The row that says since when a job is known; it is no run.
_SEEN = "seen"


@dataclass(frozen=True)
class JobRun:
    """One run of a job. `finished_at` is None while it runs."""

    due_at: datetime
    started_at: datetime
    finished_at: datetime | None
    outcome: str
    detail: str


@dataclass(frozen=True)
class TriedDue:
    """The newest due time that was worked on, or since when the job is known (no attempts)."""

    due_at: datetime
    outcome: str
    attempts: int


class JobLog:
    """Reads and writes `job_runs`. Errors of SQLAlchemy pass through."""

    def __init__(self, state: State) -> None:
        self._state = state

    def begin_counting(self, job: str, at: datetime) -> None:
        """Remember since when `job` is known; the first time only."""
        with self._state.write() as connection:
            known = connection.scalar(select(job_runs.c.id).where(job_runs.c.job == job).limit(1))
            if known is None:
                _add(connection, job, due_at=at, started_at=at, finished_at=at, outcome=_SEEN)

    def newest(self, job: str, until: datetime) -> TriedDue | None:
        """The newest due time up to `until` with its last outcome; None for an unknown job."""
        rows = (
            select(job_runs.c.due_at, job_runs.c.outcome)
            .where(job_runs.c.job == job, job_runs.c.due_at <= until)
            .order_by(job_runs.c.due_at.desc(), job_runs.c.id.desc())
            .limit(1)
        )
        with self._state.read() as connection:
            found = connection.execute(rows).one_or_none()
            if found is None:
                return None
            return TriedDue(
                found.due_at, found.outcome, _attempts(connection, job, due_at=found.due_at)
            )

    def claim(self, job: str, due_at: datetime, at: datetime) -> int | None:
        """Record that work begins and give its id.

        None when the job runs already, or work for `due_at` is over (done or failed).
        """
        mine = job_runs.c.job == job
        running = mine & (job_runs.c.outcome == "running")
        over = mine & (job_runs.c.due_at == due_at) & job_runs.c.outcome.in_(("done", "failed"))
        with self._state.write() as connection:
            if connection.scalar(select(job_runs.c.id).where(running | over).limit(1)) is not None:
                return None
            run_id = _add(connection, job, due_at=due_at, started_at=at, outcome="running")
            _forget_old(connection, job)
            return run_id

    def finish(
        self,
        run_id: int,
        outcome: Literal["done", "failed", "interrupted"],
        detail: str,
        at: datetime,
    ) -> None:
        """Record how a run ended; one that ended before keeps what it has."""
        with self._state.write() as connection:
            connection.execute(
                update(job_runs)
                .where(job_runs.c.id == run_id, job_runs.c.outcome == "running")
                .values(outcome=outcome, detail=detail, finished_at=at)
            )

    def interrupt_running(self, at: datetime) -> tuple[str, ...]:
        """Record runs left by a daemon that died as interrupted; names their jobs."""
        with self._state.write() as connection:
            rows = connection.execute(
                update(job_runs)
                .where(job_runs.c.outcome == "running")
                .values(outcome="interrupted", detail="the daemon ended", finished_at=at)
                .returning(job_runs.c.job)
            )
            return tuple(rows.scalars())

    def last_run(self, job: str) -> JobRun | None:
        """The run begun last; None when it never ran."""
        rows = (
            select(job_runs)
            .where(job_runs.c.job == job, job_runs.c.outcome != _SEEN)
            .order_by(job_runs.c.id.desc())
            .limit(1)
        )
        with self._state.read() as connection:
            row = connection.execute(rows).one_or_none()
        if row is None:
            return None
        return JobRun(row.due_at, row.started_at, row.finished_at, row.outcome, row.detail)

    def last_done(self, job: str) -> datetime | None:
        """When the job last ended well; None when it never did."""
        rows = (
            select(job_runs.c.finished_at)
            .where(job_runs.c.job == job, job_runs.c.outcome == "done")
            .order_by(job_runs.c.id.desc())
            .limit(1)
        )
        with self._state.read() as connection:
            return connection.scalar(rows)


def _add(
    connection: Connection,
    job: str,
    *,
    due_at: datetime,
    started_at: datetime,
    outcome: str,
    finished_at: datetime | None = None,
) -> int:
    row = insert(job_runs).values(
        job=job,
        due_at=due_at,
        started_at=started_at,
        finished_at=finished_at,
        outcome=outcome,
        detail="",
    )
    key = connection.execute(row).inserted_primary_key
    assert key is not None, "an insert of one row has a key"
    return int(key.id)


def _attempts(connection: Connection, job: str, *, due_at: datetime) -> int:
    mine = (job_runs.c.job == job) & (job_runs.c.due_at == due_at)
    rows = select(func.count()).select_from(job_runs).where(mine, job_runs.c.outcome != _SEEN)
    return connection.scalar(rows) or 0


def _forget_old(connection: Connection, job: str) -> None:
    oldest = (
        select(job_runs.c.id)
        .where(job_runs.c.job == job)
        .order_by(job_runs.c.id.desc())
        .limit(1)
        .offset(RUNS_KEPT)
        .scalar_subquery()
    )
    connection.execute(delete(job_runs).where(job_runs.c.job == job, job_runs.c.id <= oldest))
