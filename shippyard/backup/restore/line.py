"""Owns which WAL leads to a timeline: its ancestors, and which file holds each segment. Pure.

A timeline begins inside one of its parent's segments; from there on the child's file is the one
that is read, and the parent's of the same number only when there is no child's.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from shippyard.backup.wal.names import (
    NameInvalid,
    Segment,
    history_name,
    parse_history,
    timeline_of,
)

DEFAULT_SEGMENT_BYTES = 16 * 1024 * 1024
SEGMENT_SIZES_BYTES = tuple(1 << power for power in range(20, 31))


class HistoryUnusable(Exception):
    """A timeline's history is missing or is no history; one line says which and what to do."""


@dataclass(frozen=True)
class Stretch:
    """One timeline's part of a line, from the first position of its own on.

    `ends` is where the next stretch begins; None while it is the last.
    """

    timeline: int
    begins: int
    ends: int | None = None

    def has(self, number: int, segment_bytes: int) -> bool:
        """Whether any of a segment's positions are in this stretch."""
        begun = self.begins // segment_bytes <= number
        return begun and (self.ends is None or number <= self.ends // segment_bytes)


@dataclass(frozen=True)
class Line:
    """What leads to one timeline: its ancestors' stretches and its own, oldest first."""

    stretches: tuple[Stretch, ...]

    @property
    def timeline(self) -> int:
        """The timeline that it leads to."""
        return self.stretches[-1].timeline

    def holds(self, timeline: int, lsn: int) -> bool:
        """Whether a position, reached on this timeline, is on the line."""
        on = (each for each in self.stretches if each.timeline == timeline)
        return any(each.ends is None or lsn <= each.ends for each in on)

    def names(self, number: int, segment_bytes: int) -> list[str]:
        """Files that may hold a segment of the line, in the order in which they are looked for."""
        return [
            Segment(each.timeline, number).name(segment_bytes)
            for each in reversed(self.stretches)
            if each.has(number, segment_bytes)
        ]


def line_to(timeline: int, histories: Mapping[int, str]) -> Line:
    """The line that leads to a timeline, by the text of its history; the first one has none.

    Raises:
        HistoryUnusable: its history is missing, or is none.
    """
    if timeline not in histories:
        if timeline == 1:
            return Line((Stretch(1, 0),))
        raise HistoryUnusable(
            f"{history_name(timeline)} is missing: nobody can say where timeline {timeline} "
            "comes from; put it back, or restore to another timeline"
        )
    try:
        switches = parse_history(histories[timeline])
    except NameInvalid as error:
        raise HistoryUnusable(
            f"{history_name(timeline)} is damaged: {error}; take it from another copy"
        ) from None
    stretches, begins = [], 0
    for switch in switches:
        stretches.append(Stretch(switch.timeline, begins, switch.lsn))
        begins = switch.lsn
    return Line((*stretches, Stretch(timeline, begins)))


def segment_bytes_of(name: str, lsn: int) -> int:
    """The segment size of a server on which `lsn` lies in the file `name`.

    Where several sizes fit, as they do for the very first segments, the usual one does.
    """
    timeline = timeline_of(name)
    fit = [n for n in SEGMENT_SIZES_BYTES if Segment(timeline, lsn // n).name(n) == name]
    return DEFAULT_SEGMENT_BYTES if DEFAULT_SEGMENT_BYTES in fit or not fit else fit[0]
