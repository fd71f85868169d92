"""Owns writing the files of a base backup to disk, into folders that must be empty.

Only a tablespace's link is ever made, to the folder it was given; where production had it is never
followed. With `durable` a file is on disk when the block is left: flushing goes on beside writing.
"""

import contextlib
import os
import pwd
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from shippyard.backup.engines.base_files import Walk, Walked, Write
from shippyard.backup.engines.base_manifest import FILE_NAME
from shippyard.backup.manifest import Manifest
from shippyard.backup.verify import measure

FOLDER_MODE, FILE_MODE = 0o700, 0o600
PARENT_MODE = 0o711
UNFLUSHED_MAX = 64
TABLESPACES = "pg_tblspc"

LEFT_OUT = frozenset(
    {
        # It would make links to production's tablespaces.
        "tablespace_map",
        # These would make a standby of it, or begin another recovery than was asked for.
        "standby.signal",
        "recovery.signal",
        "postmaster.pid",
        "postmaster.opts",
    }
)


@dataclass(frozen=True)
class Owner:
    """Whose the files are to be; None leaves them ours."""

    uid: int = -1
    gid: int = -1


def owner_of(account: str | None) -> Owner:
    """The owner that files of an account have."""
    if account is None:
        return Owner()
    entry = pwd.getpwnam(account)
    return Owner(entry.pw_uid, entry.pw_gid)


def make_parents(folder: Path) -> None:
    """Make what a folder is to lie in, so that its owner can come by, whatever our umask is."""
    for parent in reversed(folder.parents):
        if not parent.exists():
            parent.mkdir()
            parent.chmod(PARENT_MODE)


def give(folder: Path, owner: Owner) -> None:
    """Make a folder and all in it the owner's; links are not followed."""
    os.chown(folder, owner.uid, owner.gid)
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.lchown(f"{parent}/{name}", owner.uid, owner.gid)


class Disk:
    """A `Sink` that writes; a context manager, because flushing ends with the block."""

    def __init__(
        self,
        data_dir: Path,
        tablespaces: Mapping[str, Path],
        *,
        owner: Owner,
        durable: bool,
        jobs: int,
        on_bytes: Callable[[int], None],
    ) -> None:
        self._data_dir = data_dir
        self._tablespaces = tablespaces
        self._owner = owner
        self._flushers = ThreadPoolExecutor(jobs, "flush") if durable else None
        self._places = threading.BoundedSemaphore(UNFLUSHED_MAX)
        self._flushing: list[Future[None]] = []
        self._on_bytes = on_bytes
        self.dropped: list[str] = []
        """Files that were left out."""

    def __enter__(self) -> Self:
        for folder in (self._data_dir, *self._tablespaces.values()):
            make_parents(folder)
            folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
            folder.chmod(FOLDER_MODE)
            self._give(folder)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._flushers is None:
            return
        self._flushers.shutdown(wait=True)
        if kind is None:
            for flushed in self._flushing:
                flushed.result()

    def folder(self, name: str) -> None:
        """See `Sink`."""
        self._folder(self._path(name))

    def tablespace(self, oid: str) -> None:
        """See `Sink`."""
        link = self._data_dir / TABLESPACES / oid
        self._folder(link.parent)
        link.symlink_to(self._tablespaces[oid])
        os.lchown(link, self._owner.uid, self._owner.gid)

    @contextlib.contextmanager
    def file(self, name: str, size_bytes: int) -> Iterator[Write]:
        """See `Sink`."""
        if name in LEFT_OUT:
            self.dropped.append(name)
            yield len
            return
        path = self._path(name)
        self._folder(path.parent)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, FILE_MODE)
        try:
            os.fchown(fd, self._owner.uid, self._owner.gid)
            yield lambda chunk: _write_all(fd, chunk)
        except BaseException:
            os.close(fd)
            raise
        self._finish(fd)
        self._on_bytes(size_bytes)

    def _path(self, name: str) -> Path:
        parts = name.split("/", 2)
        if parts[0] == TABLESPACES and len(parts) > 1 and parts[1] in self._tablespaces:
            return self._tablespaces[parts[1]].joinpath(*parts[2:])
        return self._data_dir / name

    def _folder(self, path: Path) -> None:
        """A folder and those it is in: another tar may not have come that far."""
        if path.is_dir():
            return
        self._folder(path.parent)
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=FOLDER_MODE)
            self._give(path)

    def _give(self, path: Path) -> None:
        os.chown(path, self._owner.uid, self._owner.gid)

    def _finish(self, fd: int) -> None:
        """Close the file, after a flush in the background when it is to be durable."""
        if self._flushers is None:
            os.close(fd)
            return
        self._places.acquire()
        self._flushing.append(self._flushers.submit(self._flush, fd))

    def _flush(self, fd: int) -> None:
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
            self._places.release()


def unpack(
    folder: Path,
    manifest: Manifest,
    disk: Disk,
    *,
    jobs: int,
    breathe: Callable[[], None],
) -> tuple[Walked, list[str]]:
    """Write one backup's files; gives what was learnt and what is wrong with it.

    Both documents are held against the files: ours has the hash of each compressed one, the
    server's that of each file inside.

    Raises:
        BaseUnusable, BaseManifestUnusable, TarballUnusable, OSError: it can't be read or written.
    """
    walk = Walk(folder, disk, jobs=jobs, breathe=breathe)
    with disk:
        walked, problems = walk.run([entry.name for entry in manifest.files])
    read = {**walked.hashes, FILE_NAME: measure(folder, FILE_NAME)}
    differing = [
        f"{entry.name}: sha256 differs from the manifest's"
        for entry in manifest.files
        if read[entry.name] != entry
    ]
    return walked, [*differing, *problems]


def _write_all(fd: int, chunk: memoryview) -> None:
    while chunk:
        chunk = chunk[os.write(fd, chunk) :]
