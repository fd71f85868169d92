"""Owns how far the kept WAL leads from a base backup, and the first segment that is missing.

PostgreSQL told to go to the latest point ends at a hole, promotes and says nothing; so holes are
looked for before anything is restored. Pure but for `kept_of`, which reads timeline histories.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shippyard.backup.manifest import Manifest
from shippyard.backup.restore.line import DEFAULT_SEGMENT_BYTES, Line, line_to, segment_bytes_of
from shippyard.backup.restore.physical import WalSource
from shippyard.backup.restore.point import Kept, Point, timeline_of
from shippyard.backup.wal.names import (
    format_lsn,
    is_history,
    is_segment,
    parse_lsn,
    parse_segment,
)
from shippyard.backup.wal.names import timeline_of as timeline_in


@dataclass(frozen=True)
class Coverage:
    """What is kept from a base backup on. `reaches` is where an unbroken line ends, at most.

    `missing` is the segment after that, when later ones are kept: `beyond` of them.
    """

    reaches: int
    segments: int
    missing: str | None = None
    beyond: int = 0

    def refuses(self, point: Point) -> str | None:
        """Why the point can't be reached, as far as that is known before replay."""
        if self.missing is None:
            return None
        hole = f"WAL segment {self.missing} is missing ({self.beyond} later ones are kept)"
        if point.kind == "latest":
            return (
                f"{hole}: `latest` would end there in silence; look for it in other copies, or "
                f"restore to just before it, {format_lsn(self.reaches)}, with --accept-loss"
            )
        if point.kind == "lsn" and parse_lsn(str(point.value)) >= self.reaches:
            return f"{hole}: {point} lies behind it; look for it in other copies"
        return None


def kept_of(source: WalSource | None) -> Kept:
    """The timelines that are kept, with their histories.

    Raises:
        WalUnusable: a history is damaged.
    """
    names = source.segments() if source else []
    histories = {}
    with tempfile.TemporaryDirectory(prefix="shippyard-restore-") as folder:
        for name in filter(is_history, names):
            into = Path(folder) / name
            if source and source.fetch(name, into):
                histories[timeline_in(name)] = into.read_text()
    timelines = {timeline_in(name) for name in names if is_segment(name) or is_history(name)}
    return Kept(frozenset(timelines or {1}), histories)


def cover(base: Manifest, names: Sequence[str], kept: Kept, point: Point) -> Coverage:
    """How far WAL leads from a base backup on the way to a point's timeline.

    Raises:
        HistoryUnusable, PointInvalid, PointUnreachable: the timeline can't be followed.
    """
    size = segment_bytes(base)
    end = parse_lsn(base.source.lsn_at_end or "0/0")
    # WAL up to its end came with the backup itself.
    first = -(-end // size)
    timelines = kept.timelines | {base.source.timeline or 1}
    line = line_to(timeline_of(point, timelines), kept.histories)
    have = {name for name in names if is_segment(name)}
    number = first
    while have.intersection(line.names(number, size)):
        number += 1
    beyond = _later(have, line, number, size)
    missing = line.names(number, size)[0] if beyond else None
    return Coverage(max(end, number * size), number - first, missing, beyond)


def segment_bytes(base: Manifest) -> int:
    """The segment size of the server that was backed up."""
    if base.wal_first and base.source.lsn_at_start:
        return segment_bytes_of(base.wal_first, parse_lsn(base.source.lsn_at_start))
    return DEFAULT_SEGMENT_BYTES


def _later(have: set[str], line: Line, number: int, size: int) -> int:
    """How many kept segments of the line come after a number."""
    later = {n for name in have if (n := parse_segment(name, size).number) > number}
    return sum(1 for each in later if have.intersection(line.names(each, size)))
