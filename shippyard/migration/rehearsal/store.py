"""Owns the table `rehearsals`: reports as they were made, the newest of each plan first."""

from typing import Any

from sqlalchemy import Select, delete, insert, select

from shippyard.migration.rehearsal.report import Report
from shippyard.state.database import State
from shippyard.state.tables import rehearsals

KEPT = 200


class RehearsalStore:
    """Keeps the last 200 reports. Safe from any thread."""

    def __init__(self, state: State) -> None:
        self._state = state

    def add(self, report: Report) -> None:
        """Keep a report, and forget what is beyond the bound."""
        with self._state.write() as connection:
            connection.execute(insert(rehearsals).values(**_row(report)))
            kept = select(rehearsals.c.id).order_by(rehearsals.c.started_at.desc()).limit(KEPT)
            connection.execute(delete(rehearsals).where(rehearsals.c.id.not_in(kept)))

    def newest(self, database: str, content_hash: str) -> Report | None:
        """The newest one of a plan's content that found something out, or None."""
        found = self._read(
            select(rehearsals).where(
                rehearsals.c.database == database,
                rehearsals.c.content_hash == content_hash,
                rehearsals.c.outcome.in_(("passed", "failed")),
            )
        )
        return found[0] if found else None

    def of(self, rehearsal_id: str) -> Report | None:
        """One by its id, or None."""
        found = self._read(select(rehearsals).where(rehearsals.c.id == rehearsal_id))
        return found[0] if found else None

    def all(self, database: str | None = None) -> list[Report]:
        """All that are kept, newest first."""
        query = select(rehearsals)
        return self._read(
            query if database is None else query.where(rehearsals.c.database == database)
        )

    def _read(self, query: Select[Any]) -> list[Report]:
        with self._state.read() as connection:
            rows = connection.execute(query.order_by(rehearsals.c.started_at.desc()))
            return [Report.from_document(row.report) for row in rows]


def _row(report: Report) -> dict[str, Any]:
    return {
        "id": report.id,
        "database": report.database,
        "content_hash": report.content_hash,
        "from_revision": report.from_revision,
        "to_revision": report.to_revision,
        "fingerprint": report.fingerprint,
        "backup_id": report.backup_id,
        "started_at": report.started_at,
        "finished_at": report.finished_at,
        "outcome": report.outcome,
        "report": report.document(),
        "report_hash": report.report_hash,
        "error": report.error,
    }
