"""Owns moving what pg_receivewal finished into the archive, and making its folder ready to go on.

Knows files only: neither the server nor the program.
"""

import contextlib
import os
from datetime import datetime
from pathlib import Path

import structlog

from shippyard.backup.lock import Busy
from shippyard.backup.wal.archive import WalArchive, WalRefused
from shippyard.backup.wal.header import HEADER_BYTES
from shippyard.backup.wal.names import (
    PARTIAL,
    Segment,
    is_history,
    is_partial,
    is_segment,
    parse_segment,
)
from shippyard.host.files import fsync_path

log = structlog.get_logger(__name__)


class Intake:
    """One receiver's folder on the way into its archive."""

    def __init__(self, archive: WalArchive) -> None:
        self._archive = archive
        self._histories: set[str] = set()
        self.last_segment: str | None = None

    def take(self, now: datetime) -> int:
        """Move every finished file into the archive; gives how many were.

        Raises:
            WalRefused: one is not what its name says, or is kept with other content.
            OSError: the archive can't be written.
        """
        return sum(self._take(name, now) for name in self._listing() if not is_partial(name))

    def needed(self, segment_bytes: int) -> Segment | None:
        """The segment that must come next: the one begun, else the one after the last complete."""
        begun = [parse_segment(n, segment_bytes) for n in self._listing() if is_partial(n)]
        names = [*self._archive.kept().entries, *self._listing()]
        whole = [parse_segment(n, segment_bytes).next() for n in names if is_segment(n)]
        return max((*begun, *whole), default=None)

    def begin_at(self, segment: Segment | None, segment_bytes: int, now: datetime) -> None:
        """Make pg_receivewal begin there: it goes on from the newest file that it finds.

        What was begun of other segments is kept, by its partial name.

        Raises:
            WalRefused, OSError: as for `take`.
        """
        name = segment.name(segment_bytes) + PARTIAL if segment else None
        for each in self._listing():
            if is_partial(each) and each != name:
                self._set_aside(self._archive.receiving / each, now)
        if name:
            (self._archive.receiving / name).touch(mode=0o600)
            fsync_path(self._archive.receiving)

    def _take(self, name: str, now: datetime) -> bool:
        path = self._archive.receiving / name
        if name in self._histories or not (is_segment(name) or is_history(name)):
            return False
        with contextlib.suppress(Busy):
            self._archive.put(path, now)
            if is_history(name):
                # pg_receivewal fetches it at every start unless it finds it.
                self._histories.add(name)
            else:
                path.unlink()
                self.last_segment = name
            return True
        return False

    def _set_aside(self, path: Path, now: datetime) -> None:
        with contextlib.suppress(Busy):
            if _has_content(path):
                try:
                    self._archive.put(path, now)
                except WalRefused as error:
                    log.warning("wal.partial_left", reason=str(error))
                    path.rename(path.with_name(f".left.{now:%Y%m%dT%H%M%SZ}.{path.name}"))
                    return
            path.unlink()

    def _listing(self) -> list[str]:
        return sorted(os.listdir(self._archive.receiving))  # noqa: PTH208  names are all we need


def _has_content(path: Path) -> bool:
    with path.open("rb") as file:
        return bool(file.read(HEADER_BYTES).strip(b"\0"))
