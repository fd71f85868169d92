"""Owns positions in the WAL: LSNs, segment names, timeline histories. Pure.

A segment's name is its timeline and its number in hexadecimal. A timeline begins inside one of
its parent's segments; from there on the child's file of that name is the one that is read.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

DEFAULT_SEGMENT_BYTES = 16 * 1024 * 1024
SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX = 1024 * 1024, 1024 * 1024 * 1024

_SEGMENT = re.compile(r"[0-9A-F]{24}")
_HISTORY = re.compile(r"([0-9A-F]{8})\.history")
_LSN = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")


class HistoryUnusable(Exception):
    """A timeline's history is missing or is no history; one line says which and what to do."""


def parse_lsn(text: str) -> int:
    """An LSN such as 0/3000060 as a number of bytes.

    Raises:
        ValueError: it is none.
    """
    match = _LSN.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no LSN; one looks like 0/3000060")
    return int(match.group(1), 16) << 32 | int(match.group(2), 16)


def lsn_text(lsn: int) -> str:
    """An LSN as PostgreSQL writes it."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def is_segment(name: str) -> bool:
    """Whether a file's name is that of a complete segment."""
    return _SEGMENT.fullmatch(name) is not None


def is_history(name: str) -> bool:
    """Whether a file's name is that of a timeline's history."""
    return _HISTORY.fullmatch(name) is not None


def history_name(timeline: int) -> str:
    """The file that says where a timeline comes from."""
    return f"{timeline:08X}.history"


def timeline_in(name: str) -> int:
    """The timeline that a segment or a history is of."""
    return int(name[:8], 16)


def segment_name(timeline: int, number: int, segment_bytes: int) -> str:
    """The file that holds segment `number` of a timeline."""
    per_file = (1 << 32) // segment_bytes
    return f"{timeline:08X}{number // per_file:08X}{number % per_file:08X}"


def segment_number(name: str, segment_bytes: int) -> int:
    """Which segment a file holds, counted from the WAL's beginning."""
    return int(name[8:16], 16) * ((1 << 32) // segment_bytes) + int(name[16:24], 16)


def segment_bytes_of(name: str, lsn: int) -> int:
    """The segment size of a server in which `lsn` lies in `name`; the usual one where many fit."""
    sizes = [1 << power for power in range(20, 31)]
    fit = [size for size in sizes if segment_name(timeline_in(name), lsn // size, size) == name]
    return DEFAULT_SEGMENT_BYTES if DEFAULT_SEGMENT_BYTES in fit or not fit else fit[0]


@dataclass(frozen=True)
class Stretch:
    """One timeline's part of a line: from `begins` until the next stretch begins."""

    timeline: int
    begins: int


@dataclass(frozen=True)
class Line:
    """What leads to one timeline: its ancestors' stretches and its own, oldest first."""

    stretches: tuple[Stretch, ...]

    @property
    def timeline(self) -> int:
        """The timeline that it leads to."""
        return self.stretches[-1].timeline

    def ends(self, timeline: int) -> int | None:
        """Where the line leaves a timeline; None where it stays on it.

        Raises:
            KeyError: the line never was on it.
        """
        for stretch, following in zip(self.stretches, [*self.stretches[1:], None], strict=True):
            if stretch.timeline == timeline:
                return following.begins if following else None
        raise KeyError(timeline)

    def holds(self, timeline: int, lsn: int) -> bool:
        """Whether this position of a timeline is on the line."""
        try:
            end = self.ends(timeline)
        except KeyError:
            return False
        return end is None or lsn <= end

    def names(self, number: int, segment_bytes: int) -> list[str]:
        """Files that may hold a segment of the line, in the order they are to be read in."""
        names = []
        for stretch in reversed(self.stretches):
            end = self.ends(stretch.timeline)
            begun = stretch.begins // segment_bytes <= number
            if begun and (end is None or number <= end // segment_bytes):
                names.append(segment_name(stretch.timeline, number, segment_bytes))
        return names


def line_to(timeline: int, histories: Mapping[int, str]) -> Line:
    """The line that leads to a timeline; the first timeline has no history.

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
    stretches, begins = [], 0
    for ancestor, end in _switches(timeline, histories[timeline]):
        stretches.append(Stretch(ancestor, begins))
        begins = end
    return Line((*stretches, Stretch(timeline, begins)))


def _switches(timeline: int, text: str) -> list[tuple[int, int]]:
    """Ancestors of a timeline, oldest first, and where each was left."""
    switches = []
    for line in text.splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            switches.append((int(words[0]), parse_lsn(words[1])))
        except (ValueError, IndexError):
            raise HistoryUnusable(
                f"{history_name(timeline)} is damaged: it says {line[:80]!r}; "
                "take it from another copy"
            ) from None
    return switches
