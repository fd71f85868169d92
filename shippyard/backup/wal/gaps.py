"""Owns what is remembered of gaps: when each was found, and when it stopped to matter.

A gap is over when it was mended, or when a base backup that was finished after it was found
begins behind it. What is decided is pure; the table is only written here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select, update

from shippyard.backup.wal.names import parse_segment
from shippyard.backup.wal.scan import BasePosition, Gap, is_behind
from shippyard.state.database import State
from shippyard.state.tables import wal_gaps


@dataclass(frozen=True)
class Noted:
    """A gap that was found, and until when it mattered."""

    id: int
    gap: Gap
    found_at: datetime
    closed_at: datetime | None


@dataclass(frozen=True)
class Settled:
    """What to write: gaps that are new, ids of those that are over; and what is open then."""

    begun: tuple[Gap, ...]
    over: tuple[int, ...]
    open: tuple[Gap, ...]


def settle(noted: Sequence[Noted], found: Sequence[Gap], bases: Sequence[BasePosition]) -> Settled:
    """What a scan's gaps mean beside what is remembered. Pure."""
    by_gap: dict[Gap, list[Noted]] = {}
    for each in noted:
        by_gap.setdefault(each.gap, []).append(each)
    begun, still = [], []
    for gap in found:
        before = by_gap.get(gap, [])
        if any(_is_covered(each, bases) for each in before):
            continue
        still.append(gap)
        if all(each.closed_at for each in before):
            begun.append(gap)
    over = [n.id for n in noted if n.closed_at is None and n.gap not in still]
    return Settled(tuple(begun), tuple(over), tuple(still))


class GapBook:
    """The gaps of one subject in the state database. Errors of SQLAlchemy pass through."""

    def __init__(self, state: State, subject: str) -> None:
        self._state = state
        self._subject = subject

    def noted(self, segment_bytes: int) -> list[Noted]:
        """Every gap that was ever found, oldest first."""
        query = select(wal_gaps).where(wal_gaps.c.subject == self._subject).order_by(wal_gaps.c.id)
        with self._state.read() as connection:
            rows = connection.execute(query).all()
        return [
            Noted(
                row.id,
                Gap(
                    row.timeline,
                    parse_segment(row.first_segment, segment_bytes).number,
                    parse_segment(row.last_segment, segment_bytes).number,
                    row.why,
                ),
                row.found_at,
                row.closed_at,
            )
            for row in rows
        ]

    def write(self, settled: Settled, segment_bytes: int, now: datetime) -> None:
        """Remember what was decided."""
        if not settled.begun and not settled.over:
            return
        with self._state.write() as connection:
            for gap in settled.begun:
                names = gap.names(segment_bytes)
                connection.execute(
                    insert(wal_gaps).values(
                        subject=self._subject,
                        timeline=gap.timeline,
                        first_segment=names[0],
                        last_segment=names[-1],
                        why=gap.why,
                        found_at=now,
                    )
                )
            over = wal_gaps.c.id.in_(settled.over)
            connection.execute(update(wal_gaps).where(over).values(closed_at=now))


def _is_covered(noted: Noted, bases: Sequence[BasePosition]) -> bool:
    return any(b.finished_at > noted.found_at and is_behind(noted.gap, b) for b in bases)
