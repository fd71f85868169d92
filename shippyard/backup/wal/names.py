"""Owns the names and positions of WAL: segments, timelines, history files, LSN arithmetic. Pure.

A segment's size is a property of the server (initdb --wal-segsize) and is always handed in.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

PARTIAL = ".partial"
HISTORY = ".history"

_SEGMENT = re.compile(r"[0-9A-F]{24}")
_HISTORY = re.compile(r"[0-9A-F]{8}\.history")
_BACKUP = re.compile(r"[0-9A-F]{24}\.[0-9A-F]{8}\.backup")
_LSN = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")
_LOG_BYTES = 1 << 32
_SWITCH_FIELDS = 2


class NameInvalid(ValueError):
    """Not a name or position that PostgreSQL gives; the message says what it is."""


@dataclass(frozen=True, order=True)
class Segment:
    """One segment: its number counts from the beginning of WAL, whatever the timeline."""

    timeline: int
    number: int

    def name(self, segment_bytes: int) -> str:
        """Its file's name."""
        per_log = _LOG_BYTES // segment_bytes
        log, low = divmod(self.number, per_log)
        return f"{self.timeline:08X}{log:08X}{low:08X}"

    def begins(self, segment_bytes: int) -> int:
        """The first position in it."""
        return self.number * segment_bytes

    def ends(self, segment_bytes: int) -> int:
        """The first position after it."""
        return (self.number + 1) * segment_bytes

    def next(self) -> "Segment":
        """The one after it on the same timeline."""
        return Segment(self.timeline, self.number + 1)


@dataclass(frozen=True)
class Switch:
    """Where a timeline was left for the next one in a history file."""

    timeline: int
    lsn: int


def is_segment(name: str) -> bool:
    """True for the name of a whole segment."""
    return _SEGMENT.fullmatch(name) is not None


def is_partial(name: str) -> bool:
    """True for the name of a segment that is not whole yet, or never became so."""
    return name.endswith(PARTIAL) and is_segment(name.removesuffix(PARTIAL))


def is_history(name: str) -> bool:
    """True for the name of a timeline's history file."""
    return _HISTORY.fullmatch(name) is not None


def is_wal(name: str) -> bool:
    """True for every name that PostgreSQL hands to an archive."""
    found = _BACKUP.fullmatch(name) is not None
    return found or is_segment(name) or is_partial(name) or is_history(name)


def parse_segment(name: str, segment_bytes: int) -> Segment:
    """The segment that a name means, with or without `.partial`.

    Raises:
        NameInvalid: not a segment's name, or not one that this segment size gives.
    """
    bare = name.removesuffix(PARTIAL)
    if not is_segment(bare):
        raise NameInvalid(f"{name!r} is not the name of a WAL segment")
    per_log = _LOG_BYTES // segment_bytes
    low = int(bare[16:], 16)
    if low >= per_log:
        raise NameInvalid(f"{name} can't be a segment of {segment_bytes} bytes")
    return Segment(int(bare[:8], 16), int(bare[8:16], 16) * per_log + low)


def timeline_of(name: str) -> int:
    """The timeline that begins the name of any WAL file."""
    return int(name[:8], 16)


def history_name(timeline: int) -> str:
    """The name of a timeline's history file."""
    return f"{timeline:08X}{HISTORY}"


def parse_lsn(text: str) -> int:
    """A position as a number of bytes from the beginning of WAL.

    Raises:
        NameInvalid: not PostgreSQL's `X/Y`.
    """
    match = _LSN.fullmatch(text)
    if match is None:
        raise NameInvalid(f"{text!r} is not a WAL position; write it as 0/3000148")
    return int(match[1], 16) << 32 | int(match[2], 16)


def format_lsn(lsn: int) -> str:
    """A position as PostgreSQL writes it."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def segment_at(timeline: int, lsn: int, segment_bytes: int) -> Segment:
    """The segment that holds the byte at `lsn`."""
    return Segment(timeline, lsn // segment_bytes)


def parse_history(text: str) -> tuple[Switch, ...]:
    """The ancestors in a history file, oldest first, each with where it was left.

    Raises:
        NameInvalid: a line is not `timeline LSN reason`.
    """
    switches = []
    for line in text.splitlines():
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        if len(words) < _SWITCH_FIELDS or not words[0].isdigit():
            raise NameInvalid(f"not a line of a timeline history: {line[:60]!r}")
        switches.append(Switch(int(words[0]), parse_lsn(words[1])))
    return tuple(switches)


def parent_of(timeline: int, histories: Mapping[int, tuple[Switch, ...]]) -> Switch | None:
    """What a timeline branched off from, and where; None when that is not known, or it is first."""
    history = histories.get(timeline)
    return history[-1] if history else None
