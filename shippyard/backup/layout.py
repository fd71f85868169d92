"""Owns where backups are on disk, and which names are visible.

`<root>/<subject>/<id>/` is a published backup, `.<id>.partial/` one that is being made or
unmade; `.<kind>.lock` is held by whoever makes one. A subject is a database's name or `@cluster`.
Knows nothing of what the files mean.
"""

import contextlib
import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from shippyard.backup.lock import shared
from shippyard.backup.model import Kind, kind_in
from shippyard.host.files import fsync_path, publish

FOLDER_MODE = 0o700
PARTIAL_SUFFIX = ".partial"


class FolderGone(OSError):
    """A folder with backups that are relied on isn't there: likely its disk is away."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"{folder} is gone; is it mounted? If its backups are lost, make the folder again"
        )


class Layout:
    """The folder tree of all backups."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, database: str, backup_id: str) -> Path:
        """Where a published backup is."""
        return self.root / database / backup_id

    def partial(self, database: str, backup_id: str) -> Path:
        """Where a backup is while it is being made, or unmade."""
        return self.root / database / f".{backup_id}{PARTIAL_SUFFIX}"

    def lock(self, database: str, kind: Kind) -> Path:
        """The file that is locked while a backup of this kind is made; never removed."""
        return self.root / database / f".{kind}.lock"

    def turn_lock(self, cluster: str) -> Path:
        """The file that is locked while a server gives a dump or a base backup."""
        return self.root / f".{cluster}.turn.lock"

    def prune_lock(self) -> Path:
        """The file that is locked while backups are deleted."""
        return self.root / ".prune.lock"

    def wal_prune_lock(self) -> Path:
        """The file that is locked while WAL is deleted."""
        return self.root / ".wal-prune.lock"

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Nothing is deleted by retention for the length of a block, backups or WAL."""
        with shared(self.prune_lock()), shared(self.wal_prune_lock()):
            yield

    def databases(self) -> list[str]:
        """Names of databases that have a folder here, sorted."""
        if not self.root.is_dir():
            return []
        return sorted(p.name for p in self.root.iterdir() if p.is_dir() and p.name[0] != ".")

    def published(self, database: str) -> list[str]:
        """Ids of the visible backups of a database, oldest first."""
        return sorted(p.name for p in self._entries(database) if kind_in(p.name))

    def partials(self, database: str) -> list[str]:
        """Ids of the hidden leftovers of a database, oldest first."""
        names = (p.name[1:].removesuffix(PARTIAL_SUFFIX) for p in self._entries(database))
        return sorted(name for name in names if kind_in(name) and self._has_partial(database, name))

    def unseen(self, database: str) -> str | None:
        """Why nothing can be said of a database's backups now; None when its folder can be read.

        A disk that is away for a moment looks like a folder that is gone.
        """
        folder = self.root / database
        try:
            os.scandir(folder).close()
            os.stat(f"{folder}/.")  # noqa: PTH116  a Path drops the dot, which asks for entry
        except OSError as error:
            return f"{folder}: {error.strerror or error}"
        return None

    def prepare(self, database: str, relied_on: Collection[str] = ()) -> None:
        """Make the database's folder, durably, closed to everyone else.

        `relied_on` names the databases with backups that count: while the disk with their folders
        is away, nothing is made where it would be mounted.

        Raises:
            FolderGone: a folder that must be there is not.
        """
        folder = self.root / database
        if not folder.is_dir():
            self._refuse_below_a_mount(database, relied_on)
            self.root.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
            folder.mkdir(exist_ok=True, mode=FOLDER_MODE)
            fsync_path(self.root)

    def free_bytes(self) -> int:
        """Bytes that may still be written where backups are."""
        return shutil.disk_usage(self.root).free

    def open_partial(self, database: str, backup_id: str) -> Path:
        """A new, empty, hidden folder to work in."""
        partial = self.partial(database, backup_id)
        partial.mkdir(mode=FOLDER_MODE)
        return partial

    def publish(self, database: str, backup_id: str) -> Path:
        """Give a finished, fsynced partial its visible name, durably."""
        final = self.folder(database, backup_id)
        publish(self.partial(database, backup_id), final)
        return final

    def remove(self, database: str, backup_id: str) -> None:
        """Take a backup away, whole or partial. Hidden first: half of one is never visible."""
        self.remove_partial(database, backup_id)
        final = self.folder(database, backup_id)
        if final.exists():
            publish(final, self.partial(database, backup_id))
            self.remove_partial(database, backup_id)

    def remove_partial(self, database: str, backup_id: str) -> None:
        """Take away what is hidden of a backup, if anything is."""
        partial = self.partial(database, backup_id)
        if partial.exists():
            shutil.rmtree(partial)

    def sweep_halves(self, database: str) -> None:
        """Take away what was being read into or written anew when its process died."""
        for scratch in (self.root / database).glob(".wal-*"):
            shutil.rmtree(scratch)
        for backup_id in self.published(database):
            for half in self.folder(database, backup_id).glob(".manifest.json.*.partial"):
                half.unlink(missing_ok=True)

    def _refuse_below_a_mount(self, database: str, relied_on: Collection[str]) -> None:
        if relied_on and not any((self.root / each).is_dir() for each in relied_on):
            raise FolderGone(self.root if not self.root.is_dir() else self.root / min(relied_on))
        if database in relied_on:
            raise FolderGone(self.root / database)

    def _entries(self, database: str) -> list[Path]:
        folder = self.root / database
        return [p for p in folder.iterdir() if p.is_dir()] if folder.is_dir() else []

    def _has_partial(self, database: str, backup_id: str) -> bool:
        return self.partial(database, backup_id).is_dir()
