"""Owns a store that is a folder: another disk, or one mounted from another machine.

Objects are files, written durably and closed to others. Its root must be there already: a folder
made where a disk is not mounted would look like a copy off the machine, and be none.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from shippyard.backup.offsite.objects import (
    Found,
    Kept,
    ObjectAbsent,
    ObjectExists,
    OffsiteFailed,
)
from shippyard.host.files import fsync_path, write_atomically

FOLDER_MODE = 0o700
PARTIAL_SUFFIX = ".partial"


class FolderStore:
    """The objects in `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def place(self) -> str:
        """The folder's path."""
        return str(self._root)

    @property
    def deletes_versions(self) -> bool:
        """A file has one version."""
        return True

    def put(self, key: str, data: bytes, *, only_new: bool = False) -> None:
        """Write the object and flush it to disk.

        Raises:
            ObjectExists, OffsiteFailed: as the protocol says.
        """
        path = self._path(key)
        if only_new and path.exists():
            raise ObjectExists(f"{path} exists")
        with self._explained("write", path):
            self._make_folder(path.parent)
            write_atomically(path, data)

    def get(self, key: str, *, first_bytes: int | None = None) -> bytes:
        """Read the object.

        Raises:
            ObjectAbsent, OffsiteFailed: as the protocol says.
        """
        path = self._path(key)
        with self._explained("read", path):
            try:
                with path.open("rb") as file:
                    return file.read(-1 if first_bytes is None else first_bytes)
            except FileNotFoundError:
                raise ObjectAbsent(f"{path} is not there") from None

    def below(self, folder: str) -> list[Found]:
        """Every file below, without those that are being written."""
        top = self._path(folder)
        with self._explained("list", top):
            files = (p for p in top.rglob("*") if p.is_file() and not _is_partial(p))
            return sorted(
                (Found(p.relative_to(self._root).as_posix(), p.stat().st_size) for p in files),
                key=lambda found: found.key,
            )

    def folders(self, folder: str) -> list[str]:
        """Names of the folders right below."""
        top = self._path(folder)
        with self._explained("list", top):
            return sorted(p.name for p in top.iterdir() if p.is_dir()) if top.is_dir() else []

    def delete(self, key: str) -> Kept | None:
        """Remove the file, and its folder when that is empty. A folder keeps nothing by force."""
        path = self._path(key)
        with self._explained("delete", path):
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                path.parent.rmdir()
        return None

    def close(self) -> None:
        """There is nothing to let go of."""

    def _path(self, key: str) -> Path:
        if not self._root.is_dir():
            raise OffsiteFailed(
                f"{self._root} is not there; is it mounted? If it is a new place, make the folder"
            )
        return self._root / key

    def _make_folder(self, folder: Path) -> None:
        """Every missing folder down to `folder`, each durably."""
        if not folder.is_dir():
            self._make_folder(folder.parent)
            folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
            fsync_path(folder.parent)

    @contextlib.contextmanager
    def _explained(self, verb: str, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OffsiteFailed(f"can't {verb} {path}: {error.strerror or error}") from None


def _is_partial(path: Path) -> bool:
    return path.name.startswith(".") and path.name.endswith(PARTIAL_SUFFIX)
