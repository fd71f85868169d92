"""Owns taking what archive_command pushed out of the spool and into the archive.

What was taken stays listed in the spool for a while, so that the server, which may push a file
again after a crash, is answered rightly while we are down.
"""

import os
from collections.abc import Callable
from pathlib import Path

import structlog

from shippyard.backup.lock import Busy
from shippyard.backup.wal.archive import WalArchive, WalRefused
from shippyard.backup.wal.names import is_wal
from shippyard.backup.wal.push import TAKEN, hash_of
from shippyard.host.clock import Clock
from shippyard.host.files import fsync_path

LISTED_MAX = 2000
STALE_S = 3600.0
AT_ONCE = 64

log = structlog.get_logger(__name__)


class Spool:
    """One cluster's spool. Used by one thread of one process."""

    def __init__(self, folder: Path, archive: WalArchive, clock: Clock) -> None:
        self.folder = folder
        self._archive = archive
        self._clock = clock
        self.refused: dict[str, str] = {}
        """Files that the archive refused, and why; they stay where they are."""

    def waiting(self) -> list[str]:
        """Names in the spool, oldest WAL first.

        Raises:
            OSError: it can't be read.
        """
        return sorted(name for name in os.listdir(self.folder) if is_wal(name))  # noqa: PTH208  names

    def drain(self, given_up: Callable[[], bool]) -> int:
        """Move some of it into the archive; gives how many files were moved.

        Raises:
            OSError: the spool or the archive can't be used.
        """
        moved = 0
        for name in self.waiting()[:AT_ONCE]:
            if given_up():
                break
            moved += self._move(name)
        self._sweep()
        return moved

    def _move(self, name: str) -> bool:
        path = self.folder / name
        try:
            self._archive.put(path, self._clock.now())
        except WalRefused as error:
            if name not in self.refused:
                log.error("wal.refused", segment=name, reason=str(error))
            self.refused[name] = str(error)
            return False
        except Busy:
            return False
        self._list(name, hash_of(path))
        path.unlink()
        self.refused.pop(name, None)
        return True

    def _list(self, name: str, sha256: str) -> None:
        """Tell pushes to come, before the file goes. The server's account reads it, too."""
        listing = self.folder / TAKEN
        lines = listing.read_text().splitlines() if listing.exists() else []
        lines = [*lines[-LISTED_MAX + 1 :], f"{name} {sha256}"]
        partial = listing.with_name(f"{TAKEN}.partial")
        fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        with os.fdopen(fd, "w") as file:
            file.write("\n".join(lines) + "\n")
            os.fchmod(fd, 0o644)
            file.flush()
            os.fsync(fd)
        partial.rename(listing)
        fsync_path(self.folder)

    def _sweep(self) -> None:
        """Remove what pushes left that were killed."""
        now = self._clock.now().timestamp()
        for each in self.folder.glob(".*.partial"):
            if now - each.stat().st_mtime > STALE_S:
                each.unlink(missing_ok=True)
