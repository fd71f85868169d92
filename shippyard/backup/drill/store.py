"""Owns the table of drills: what each found, kept for as many as are asked for."""

from dataclasses import asdict, fields
from datetime import datetime

from sqlalchemy import ColumnElement, RowMapping, delete, insert, select, update

from shippyard.backup.drill.model import Drill, DrillOutcome
from shippyard.backup.model import Kind
from shippyard.state.database import State
from shippyard.state.tables import drills

_COLUMNS = [drills.c[field.name] for field in fields(Drill)]
_NEWEST_FIRST = (drills.c.started_at.desc(), drills.c.id.desc())


class DrillStore:
    """What is remembered of drills. Errors of SQLAlchemy pass through."""

    def __init__(self, state: State) -> None:
        self._state = state

    def begin(self, drill: Drill) -> None:
        """Remember a drill that begins."""
        with self._state.write() as connection:
            connection.execute(insert(drills).values(**asdict(drill)))

    def finish(self, drill: Drill, *, keep: int) -> None:
        """Remember how it ended, and forget the oldest beyond `keep`.

        One that was recorded as interrupted meanwhile stays that.
        """
        mine = (drills.c.id == drill.id) & (drills.c.outcome == "running")
        with self._state.write() as connection:
            connection.execute(update(drills).where(mine).values(**asdict(drill)))
            kept = select(drills.c.id).order_by(*_NEWEST_FIRST).limit(keep)
            connection.execute(delete(drills).where(drills.c.id.not_in(kept)))

    def interrupt_running(self, at: datetime) -> list[str]:
        """Drills that never ended are interrupted; gives their ids."""
        ended = {"outcome": "interrupted", "finished_at": at, "error": "the daemon ended"}
        with self._state.write() as connection:
            found = connection.execute(
                update(drills)
                .where(drills.c.outcome == "running")
                .values(**ended)
                .returning(drills.c.id)
            )
            return list(found.scalars())

    def get(self, drill_id: str) -> Drill | None:
        """The drill with this id, or None."""
        found = self._select(drills.c.id == drill_id, limit=1)
        return found[0] if found else None

    def all(self, subject: str | None = None, *, limit: int) -> list[Drill]:
        """Drills of one subject, or all, newest first."""
        return self._select(*([drills.c.database == subject] if subject else []), limit=limit)

    def ended(
        self, subject: str | None, kind: Kind, *outcomes: DrillOutcome, limit: int
    ) -> list[Drill]:
        """Drills of a kind that ended so, of one subject or of all, newest first."""
        mine = [drills.c.database == subject] if subject else []
        return self._select(
            *mine, drills.c.kind == kind, drills.c.outcome.in_(outcomes), limit=limit
        )

    def _select(self, *conditions: ColumnElement[bool], limit: int) -> list[Drill]:
        question = select(*_COLUMNS).where(*conditions).order_by(*_NEWEST_FIRST).limit(limit)
        with self._state.read() as connection:
            return [_drill_of(row) for row in connection.execute(question).mappings()]


def _drill_of(row: RowMapping) -> Drill:
    return Drill(**row)
