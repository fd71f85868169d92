"""Owns the table `runs`: what every run went through, written down step by step.

Each change of state is a compare-and-set by the table in `states`. Knows no gates and no runner.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

from sqlalchemy import Connection, Row, insert, select, update

from shippyard.host.clock import Clock
from shippyard.migration.plan import Plan
from shippyard.migration.spec import Way
from shippyard.migration.states import UNFINISHED, IllegalTransition, RunEvent, RunState, after
from shippyard.state.database import State
from shippyard.state.tables import runs

STEPS_MAX = 2000
HISTORY_MAX = 200


@dataclass(frozen=True)
class Run:
    """One gated execution of a plan, as it is written down.

    A run that goes down comes from the higher revision, and goes to an empty `to_revision` where
    nothing is left; `of_run` is the one that it takes back, or that it goes on with.
    """

    id: str
    database: str
    from_revision: str | None
    to_revision: str
    state: RunState
    requested_by: str
    content_hash: str
    plan_hash: str | None
    way: Way
    of_run: str | None
    backup_id: str | None
    started_at: datetime
    finished_at: datetime | None
    error: str | None
    detail: Mapping[str, Any]

    def document(self) -> dict[str, Any]:
        """The run in JSON."""
        return {
            "id": self.id,
            "database": self.database,
            "from_revision": self.from_revision,
            "to_revision": self.to_revision,
            "state": self.state,
            "requested_by": self.requested_by,
            "content_hash": self.content_hash,
            "plan_hash": self.plan_hash,
            "way": self.way,
            "of_run": self.of_run,
            "backup_id": self.backup_id,
            "started_at": self.started_at.isoformat(),
            "finished_at": self.finished_at.isoformat() if self.finished_at else None,
            "error": self.error,
        }


class Journal:
    """Reads and writes runs."""

    def __init__(self, state: State, clock: Clock) -> None:
        self._state = state
        self._clock = clock

    def open(
        self,
        plan: Plan,
        requested_by: str,
        *,
        plan_hash: str | None = None,
        way: Way = "up",
        of_run: str | None = None,
        ends: tuple[str | None, str | None] | None = None,
    ) -> str:
        """Write a new run down as planned, and give its id.

        `of_run` is the run that it takes back, or goes on with; `ends` are the revisions at which
        it begins and ends, those of the plan when they are left out.
        """
        now = self._clock.now()
        begins, leads = ends or (plan.current, plan.target)
        run_id = f"{now:%Y%m%dT%H%M%SZ}-{plan.database}-{uuid.uuid4().hex[:8]}"
        with self._state.write() as connection:
            connection.execute(
                insert(runs).values(
                    id=run_id,
                    database=plan.database,
                    from_revision=begins,
                    to_revision=leads or "",
                    state="planned",
                    requested_by=requested_by,
                    content_hash=plan.content_hash,
                    plan_hash=plan_hash,
                    way=way,
                    of_run=of_run,
                    started_at=now,
                    detail={"steps": []},
                )
            )
        return run_id

    def move(self, run_id: str, event: RunEvent, error: str | None = None) -> Run:
        """Take a run to the state that follows `event`.

        Raises:
            IllegalTransition: it is not in a state where that can happen.
        """
        with self._state.write() as connection:
            was = _get(connection, run_id)
            state = after(was.state, event)
            finished = {} if state in UNFINISHED else {"finished_at": self._clock.now()}
            changed = connection.execute(
                update(runs)
                .where(runs.c.id == run_id, runs.c.state == was.state)
                .values(state=state, error=error, **finished)
            )
            if changed.rowcount != 1:
                raise IllegalTransition(f"run {run_id} is no longer {was.state}")
            return _get(connection, run_id)

    def step(self, run_id: str, step: Mapping[str, Any]) -> None:
        """Add what just happened to a run; beyond a bound only the run's state is kept up."""
        with self._state.write() as connection:
            detail = dict(_get(connection, run_id).detail)
            steps = [*detail["steps"], {"at": self._clock.now().isoformat(), **step}]
            if len(steps) <= STEPS_MAX:
                _set(connection, run_id, detail={**detail, "steps": steps})

    def note(self, run_id: str, **notes: Any) -> None:
        """Add to a run's detail: verdicts, what was found."""
        with self._state.write() as connection:
            detail = dict(_get(connection, run_id).detail)
            _set(connection, run_id, detail={**detail, **notes})

    def backed_up(self, run_id: str, backup_id: str) -> None:
        """Tie the backup to the run that needed it."""
        with self._state.write() as connection:
            _set(connection, run_id, backup_id=backup_id)

    def get(self, run_id: str) -> Run:
        """One run by its id."""
        with self._state.read() as connection:
            return _get(connection, run_id)

    def find(self, run_id: str) -> Run | None:
        """One run by its id, or None."""
        with self._state.read() as connection:
            row = connection.execute(select(runs).where(runs.c.id == run_id)).first()
            return _run(row) if row else None

    def unfinished(self, database: str | None = None) -> list[Run]:
        """Runs that are under way, or were when the daemon died."""
        query = select(runs).where(runs.c.state.in_(UNFINISHED)).order_by(runs.c.started_at)
        return self._list(query if database is None else query.where(runs.c.database == database))

    def history(self, database: str | None = None) -> list[Run]:
        """The last 200 runs, newest first."""
        query = select(runs).order_by(runs.c.started_at.desc(), runs.c.id).limit(HISTORY_MAX)
        return self._list(query if database is None else query.where(runs.c.database == database))

    def _list(self, query: Any) -> list[Run]:
        with self._state.read() as connection:
            return [_run(row) for row in connection.execute(query)]


def _get(connection: Connection, run_id: str) -> Run:
    return _run(connection.execute(select(runs).where(runs.c.id == run_id)).one())


def _set(connection: Connection, run_id: str, **values: Any) -> None:
    connection.execute(update(runs).where(runs.c.id == run_id).values(**values))


def _run(row: Row[Any]) -> Run:
    assert row.state in get_args(RunState), f"unknown state {row.state!r} in the table runs"
    return Run(**row._mapping)  # noqa: SLF001  SQLAlchemy's public name for a row as a mapping
