"""Owns taking WAL from several places at once: what one of them lacks or spoilt, another may have.

Knows neither folders nor stores, and not what the WAL is for.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from shippyard.backup.restore.physical import WalSource, WalUnusable
from shippyard.backup.restore.spooled import used_bytes
from shippyard.backup.wal.names import is_segment, timeline_of


class SeveralSources:
    """A `WalSource` of others, the nearest first. What each has is asked once."""

    def __init__(self, sources: Sequence[WalSource]) -> None:
        self._sources = [(source, frozenset(source.segments())) for source in sources]

    def segments(self) -> Sequence[str]:
        """Every name that any of them has."""
        return sorted(frozenset().union(*(names for _, names in self._sources)))

    def fetch(self, name: str, into: Path) -> bool:
        """As the nearest has it whole; of one that may be unfinished, whoever has most of it.

        Raises:
            WalUnusable: whoever has it has it damaged.
        """
        into.unlink(missing_ok=True)
        holders = [(source, names) for source, names in self._sources if name in names]
        problems, found = [], False
        for source, names in holders:
            try:
                found = _fuller(source, name, into) or found
            except WalUnusable as error:
                problems.append(error)
                continue
            if found and not _may_be_unfinished(name, names):
                return True
        if problems and not found:
            raise problems[0]
        return found


def _fuller(source: WalSource, name: str, into: Path) -> bool:
    """Fetch it, unless what is there already holds as much."""
    with tempfile.TemporaryDirectory(dir=into.parent, prefix=".fetch-") as folder:
        fetched = Path(folder) / name
        if not source.fetch(name, fetched):
            return False
        if not into.exists() or used_bytes(fetched) > used_bytes(into):
            fetched.replace(into)
        return True


def _may_be_unfinished(name: str, names: frozenset[str]) -> bool:
    """Only the newest of a timeline can be."""
    mine = (each for each in names if is_segment(each) and timeline_of(each) == timeline_of(name))
    return is_segment(name) and name == max(mine)
