"""Owns what is known of a cluster's kept WAL: what was put, taken away and lost, and whose it is.

It is read from an append-only list, whose words are known here alone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from threading import Lock

from shippyard.backup.wal.index import Index
from shippyard.backup.wal.names import Segment, is_segment, parse_segment

_PUT, _REMOVED, _LOST, _IDENTITY = "+", "-", "!", "="


@dataclass(frozen=True)
class Entry:
    """One file that is kept: its own size and hash, its size as it is stored, and since when."""

    name: str
    size_bytes: int
    stored_bytes: int
    sha256: str
    at: datetime


@dataclass(frozen=True)
class Identity:
    """Whose WAL is kept, and how large its segments are."""

    system_identifier: str
    segment_bytes: int


@dataclass(frozen=True)
class Lost:
    """Segments that were declared lost, because the server no longer had them."""

    first: str
    last: str
    at: datetime


@dataclass(frozen=True)
class Kept:
    """All that the list says."""

    entries: Mapping[str, Entry]
    lost: tuple[Lost, ...]
    identity: Identity | None
    damaged_lines: int = 0

    @cached_property
    def newest(self) -> tuple[Segment, Entry] | None:
        """The whole segment that reaches furthest."""
        if self.identity is None:
            return None
        size = self.identity.segment_bytes
        whole = ((parse_segment(n, size), e) for n, e in self.entries.items() if is_segment(n))
        return max(whole, key=lambda found: (found[0].number, found[0].timeline), default=None)


class Record:
    """The list in one file. Safe to use from any thread, and beside other processes."""

    def __init__(self, path: Path) -> None:
        self._index = Index(path)
        self._lock = Lock()
        self._generation = -1
        self._folded = 0
        self._kept = Kept({}, (), None)

    def kept(self) -> Kept:
        """What there must be.

        Raises:
            OSError: the list can't be read.
        """
        with self._lock:
            generation, lines = self._index.read()
            if generation != self._generation:
                self._generation, self._folded, self._kept = generation, 0, Kept({}, (), None)
            if len(lines) > self._folded:
                self._kept = _folded(self._kept, lines[self._folded :], self._index.damaged)
                self._folded = len(lines)
            return self._kept

    def put(self, entry: Entry) -> None:
        """A file is here."""
        sizes = str(entry.size_bytes), str(entry.stored_bytes)
        self._index.append((_PUT, entry.name, *sizes, entry.sha256, _written(entry.at)))

    def removed(self, names: Iterable[str]) -> None:
        """Files are gone on purpose."""
        self._index.append(*((_REMOVED, name) for name in names))

    def lost(self, lost: Lost) -> None:
        """Segments will never come."""
        self._index.append((_LOST, lost.first, lost.last, _written(lost.at)))

    def identity(self, identity: Identity) -> None:
        """Whose WAL this is."""
        self._index.append((_IDENTITY, identity.system_identifier, str(identity.segment_bytes)))


def _folded(kept: Kept, lines: Iterable[tuple[str, ...]], damaged: int) -> Kept:
    entries, lost, identity = dict(kept.entries), list(kept.lost), kept.identity
    for words in lines:
        match words:
            case (kind, name, size_bytes, stored, sha256, at) if kind == _PUT:
                when = datetime.fromisoformat(at)
                entries[name] = Entry(name, int(size_bytes), int(stored), sha256, when)
            case (kind, name) if kind == _REMOVED:
                entries.pop(name, None)
            case (kind, first, last, at) if kind == _LOST:
                lost.append(Lost(first, last, datetime.fromisoformat(at)))
            case (kind, system_identifier, segment_bytes) if kind == _IDENTITY:
                identity = Identity(system_identifier, int(segment_bytes))
            case _:
                pass  # a word of a newer version
    return Kept(entries, tuple(lost), identity, damaged)


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
