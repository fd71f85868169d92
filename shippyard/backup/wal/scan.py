"""Owns continuity: which WAL that recovery needs is not there, named, over timelines. Pure.

What recovery needs follows from the base backups: from each one's first segment on, along its
timeline and into those that branched off. The newest segment's end is open: that WAL goes on is
no gap. A timeline that was left needs nothing from the segment of its end on, because the next one
repeats that segment.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Literal

from shippyard.backup.wal.names import (
    NameInvalid,
    Segment,
    Switch,
    is_segment,
    parse_segment,
)

Why = Literal["missing", "short", "different", "slot_lost"]
NAMED_MAX = 20


@dataclass(frozen=True)
class BasePosition:
    """Where a base backup that counts stands: recovery from it needs WAL from `first` on.

    `is_settled` says that it is old enough for that segment to have come.
    """

    backup_id: str
    first: Segment
    finished_at: datetime
    is_settled: bool = True


@dataclass(frozen=True, order=True)
class Gap:
    """Segments that are not there, or not as they must be, one after the other."""

    timeline: int
    first: int
    last: int
    why: Why

    def names(self, segment_bytes: int) -> list[str]:
        """Each of them by name; of a very long gap the first ones and the last."""
        numbers = [*range(self.first, min(self.last, self.first + NAMED_MAX - 2) + 1)]
        if numbers[-1] != self.last:
            numbers.append(self.last)
        return [Segment(self.timeline, number).name(segment_bytes) for number in numbers]


@dataclass(frozen=True)
class Span:
    """Segments without a hole between them, on one timeline."""

    timeline: int
    first: int
    last: int


@dataclass(frozen=True)
class Holdings:
    """What is kept. `problems` names segments that are there and wrong, and in what way.

    `recorded` are segments that were put here and not taken away on purpose; `lost` those that
    were declared lost.
    """

    segment_bytes: int
    held: frozenset[Segment]
    recorded: frozenset[Segment] = frozenset()
    problems: Mapping[Segment, Why] = field(default_factory=dict)
    lost: Sequence[Span] = ()
    histories: Mapping[int, tuple[Switch, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class ScanReport:
    """What is not there, and what is: without a hole, oldest first.

    `without_history` are timelines that recovery can't find the way into.
    """

    gaps: tuple[Gap, ...]
    spans: tuple[Span, ...]
    without_history: tuple[int, ...] = ()


def segments_in(names: Collection[str], segment_bytes: int) -> frozenset[Segment]:
    """The whole segments among names; one that this segment size can't give is left out."""
    found = set()
    for name in names:
        if is_segment(name):
            try:
                found.add(parse_segment(name, segment_bytes))
            except NameInvalid:
                continue
    return frozenset(found)


def scan(holdings: Holdings, bases: Sequence[BasePosition]) -> ScanReport:
    """Every gap in what recovery from the bases needs; without a base, in all that was put here."""
    good = frozenset(s for s in holdings.held if s not in holdings.problems)
    known = holdings.held | holdings.recorded
    timelines = {s.timeline for s in known}
    roots = [base.first for base in bases] or _oldest(known, holdings)
    due = {base.first for base in bases if base.is_settled}
    due.update(Segment(span.timeline, span.last) for span in holdings.lost)
    gaps: list[Gap] = []
    for timeline in sorted(timelines | {root.timeline for root in roots}):
        absent = [
            segment
            for number in _needed(timeline, known | due, holdings, roots)
            if (segment := Segment(timeline, number)) not in good
        ]
        gaps.extend(_grouped(absent, holdings))
    without = tuple(sorted(t for t in timelines if t > 1 and t not in holdings.histories))
    return ScanReport(tuple(sorted(gaps)), tuple(_spans(good)), without)


def is_behind(gap: Gap, base: BasePosition) -> bool:
    """True when recovery from this base never reads what the gap would hold."""
    return base.first.number > gap.last


def needed_from(bases: Sequence[BasePosition]) -> int | None:
    """The number of the first segment that any base needs; None while there is no base.

    Positions grow over timelines, too: whatever lies before is needed by none.
    """
    return min((base.first.number for base in bases), default=None)


def _oldest(known: frozenset[Segment], holdings: Holdings) -> list[Segment]:
    """The oldest segment of each timeline that does not go on from another one here."""
    firsts: dict[int, Segment] = {}
    for segment in known:
        firsts[segment.timeline] = min(segment, firsts.get(segment.timeline, segment))
    return [
        first
        for timeline, first in firsts.items()
        if not any(s.timeline in firsts for s in holdings.histories.get(timeline, ()))
    ]


def _needed(
    timeline: int, known: frozenset[Segment], holdings: Holdings, roots: Sequence[Segment]
) -> range:
    """Numbers of the segments that must be there of a timeline; its newest end is open."""
    numbers = [s.number for s in known if s.timeline == timeline]
    begins = [root.number for root in roots if root.timeline == timeline]
    history = holdings.histories.get(timeline)
    if history and _comes_by(history, holdings.segment_bytes, roots):
        begins.append(history[-1].lsn // holdings.segment_bytes)
    if not history and timeline > 1 and numbers:
        begins.append(min(numbers))  # where it begins is not known
    if not begins:
        return range(0)
    ends = [*numbers, *_left_at(timeline, known, holdings)]
    return range(min(begins), max(ends, default=-1) + 1)


def _comes_by(history: Sequence[Switch], segment_bytes: int, roots: Sequence[Segment]) -> bool:
    """Whether recovery from some root goes into the timeline of this history."""
    left = {switch.timeline: switch.lsn // segment_bytes for switch in history}
    return any(root.number <= left.get(root.timeline, -1) for root in roots)


def _left_at(timeline: int, known: frozenset[Segment], holdings: Holdings) -> list[int]:
    """The last segments of a timeline that others, which are kept, branched off after."""
    present = {s.timeline for s in known}
    return [
        switch.lsn // holdings.segment_bytes - 1
        for child, history in holdings.histories.items()
        if child in present
        for switch in history
        if switch.timeline == timeline
    ]


def _grouped(absent: Sequence[Segment], holdings: Holdings) -> list[Gap]:
    gaps: list[Gap] = []
    for segment in absent:
        why = _why(segment, holdings)
        before = gaps[-1] if gaps else None
        if before and (before.last, before.why) == (segment.number - 1, why):
            gaps[-1] = Gap(before.timeline, before.first, segment.number, why)
        else:
            gaps.append(Gap(segment.timeline, segment.number, segment.number, why))
    return gaps


def _why(segment: Segment, holdings: Holdings) -> Why:
    if segment in holdings.problems:
        return holdings.problems[segment]
    declared = any(
        span.timeline == segment.timeline and span.first <= segment.number <= span.last
        for span in holdings.lost
    )
    return "slot_lost" if declared else "missing"


def _spans(good: frozenset[Segment]) -> list[Span]:
    ordered = sorted(good)
    if not ordered:
        return []
    starts = [ordered[0], *(b for a, b in pairwise(ordered) if b != a.next())]
    ends = [*(a for a, b in pairwise(ordered) if b != a.next()), ordered[-1]]
    return [Span(a.timeline, a.number, b.number) for a, b in zip(starts, ends, strict=True)]
