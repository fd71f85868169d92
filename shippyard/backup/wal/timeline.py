"""Owns what can be recovered to: from when to when, and the holes in between. Pure.

Times of WAL are when it arrived: what was committed just before may be in the segment after.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from shippyard.backup.wal.record import Entry
from shippyard.backup.wal.scan import BasePosition, Gap, is_behind


@dataclass(frozen=True)
class Range:
    """Every second from `begins_at` to `ends_at` can be recovered, from `bases`, oldest first.

    `is_open` says that WAL still arrives at its end. `last` is the number of its last segment,
    None when no WAL follows the base backup.
    """

    begins_at: datetime
    ends_at: datetime
    bases: tuple[str, ...]
    is_open: bool
    last: int | None


@dataclass(frozen=True)
class Hole:
    """A gap and about when its WAL was written; None where nothing is kept on that side."""

    gap: Gap
    after: datetime | None
    before: datetime | None


def recoverable(
    bases: Sequence[BasePosition],
    gaps: Sequence[Gap],
    arrived: Mapping[int, datetime],
    until: datetime | None,
) -> list[Range]:
    """The ranges, oldest first. `arrived` says when each segment did, by its number.

    `until` is when everything committed was last known to be here.
    """
    ranges: list[Range] = []
    for base in sorted(bases, key=lambda base: base.finished_at):
        each = _range_of(base, gaps, arrived, until)
        if ranges and ranges[-1].last is not None and ranges[-1].last == each.last:
            before = ranges[-1]
            ranges[-1] = Range(
                before.begins_at,
                max(before.ends_at, each.ends_at),
                (*before.bases, *each.bases),
                each.is_open,
                each.last,
            )
        else:
            ranges.append(each)
    return ranges


def holes(gaps: Sequence[Gap], arrived: Mapping[int, datetime]) -> list[Hole]:
    """The gaps, with when the segments on both sides arrived."""
    return [Hole(gap, arrived.get(gap.first - 1), arrived.get(gap.last + 1)) for gap in gaps]


def arrivals(entries: Mapping[int, Sequence[Entry]]) -> dict[int, datetime]:
    """When each segment first arrived, on whichever timeline."""
    return {number: min(entry.at for entry in each) for number, each in entries.items()}


def _range_of(
    base: BasePosition,
    gaps: Sequence[Gap],
    arrived: Mapping[int, datetime],
    until: datetime | None,
) -> Range:
    ahead = [gap for gap in gaps if not is_behind(gap, base)]
    begins_at = base.finished_at
    if ahead:
        last = min(gap.first for gap in ahead) - 1
        ends_at = arrived.get(last)
        is_open = False
    else:
        last = max(arrived, default=base.first.number - 1)
        ends_at, is_open = until or arrived.get(last), True
    if last < base.first.number or ends_at is None or ends_at < begins_at:
        return Range(begins_at, begins_at, (base.backup_id,), is_open, None)
    return Range(begins_at, ends_at, (base.backup_id,), is_open, last)
