"""Owns bringing a copy back: a local folder that is what was published, byte for byte.

Every part is compared with its hash as it arrives and every file as a whole before the folder has
its name. A fetch that was cut goes on: what is on disk already is hashed, and kept when it fits.
"""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from shippyard.backup.layout import FOLDER_MODE, Layout
from shippyard.backup.manifest import (
    FILE_NAME,
    FileEntry,
    Manifest,
    ManifestUnusable,
    parse_manifest,
    read_manifest,
)
from shippyard.backup.offsite.age import Identities
from shippyard.backup.offsite.objects import OffsiteFailed, Store
from shippyard.backup.offsite.parts import INDEX, Index, Part, cut, parse_index
from shippyard.backup.offsite.working import each
from shippyard.host.files import fsync_tree, publish, sha256_of, write_atomically

FILE_MODE = 0o600

Progress = Callable[[Mapping[str, Any]], None]


def read_index(store: Store, prefix: str, trusted: Collection[str]) -> Index:
    """The index of a copy; `prefix` is `subject/id/`.

    Raises:
        ObjectAbsent: there is none.
        Disbelieved: it can't be trusted, or is that of another backup.
        OffsiteFailed: it could not be read.
    """
    index = parse_index(store.get(prefix + INDEX), trusted, prefix.rstrip("/"))
    if prefix != f"{index.database}/{index.id}/":
        raise OffsiteFailed(f"{prefix} holds the index of {index.database}/{index.id}")
    return index


class Fetcher:
    """Brings copies back from one store."""

    def __init__(self, store: Store, trusted: Collection[str], identities: Identities) -> None:
        self._store = store
        self._trusted = trusted
        self._identities = identities

    def fetch(self, prefix: str, into: Path, progress: Progress) -> Path:
        """The backup at `prefix` as `into/subject/id`; one that is there and whole is given as is.

        Raises:
            KeyLost: it is encrypted, and not to a key that we have.
            OffsiteFailed: it can't be had whole; what arrived stays for the next attempt.
        """
        index = read_index(self._store, prefix, self._trusted)
        document = self._document(prefix, index)
        manifest = self._manifest(index, document)
        final = Layout(into).folder(index.database, index.id)
        if final.exists():
            return self._already_there(final, manifest)
        partial = Layout(into).partial(index.database, index.id)
        with _explained(partial):
            _prepare(partial, manifest.files)
            self._fill(prefix, index, partial, progress)
            _refuse_different(partial, manifest.files)
            write_atomically(partial / FILE_NAME, document)
            fsync_tree(partial)
            publish(partial, final)
        return final

    def manifest(self, prefix: str) -> Manifest:
        """What a copy says of itself, without its files.

        Raises:
            KeyLost, OffsiteFailed: as for `fetch`.
        """
        index = read_index(self._store, prefix, self._trusted)
        return self._manifest(index, self._document(prefix, index))

    def _document(self, prefix: str, index: Index) -> bytes:
        stored = self._store.get(prefix + index.manifest.name)
        _refuse_changed(stored, index.manifest.sha256, f"{prefix}{index.manifest.name}")
        return self._identities.decrypt(stored, index.key_ids, index.id)

    def _manifest(self, index: Index, document: bytes) -> Manifest:
        try:
            manifest = parse_manifest(document, self._trusted)
        except ManifestUnusable as error:
            raise OffsiteFailed(f"the copy of {index.id} can't be used: {error}") from None
        same = (manifest.database, manifest.id) == (index.database, index.id)
        pieces = tuple(part.piece for part in index.parts)
        if not same or tuple(cut(manifest.files, index.part_bytes)) != pieces:
            raise OffsiteFailed(f"the index of {index.id} does not fit its manifest")
        return manifest

    def _fill(self, prefix: str, index: Index, partial: Path, progress: Progress) -> None:
        def bring(part: Part) -> int:
            path, piece = partial / part.piece.file, part.piece
            if _on_disk(path, piece.offset_bytes, piece.size_bytes) != part.sha256:
                _write_at(path, piece.offset_bytes, self._content(prefix, index, part))
            return piece.size_bytes

        done = 0
        said = {"id": index.id, "phase": "fetching", "expected_bytes": index.size_bytes}
        for size_bytes in each(bring, index.parts):
            done += size_bytes
            progress({**said, "size_bytes": done})

    def _content(self, prefix: str, index: Index, part: Part) -> bytes:
        name = prefix + part.stored.name
        content = self._identities.decrypt(self._store.get(name), index.key_ids, name)
        _refuse_changed(content, part.sha256, name)
        return content

    def _already_there(self, final: Path, manifest: Manifest) -> Path:
        try:
            there = read_manifest(final, self._trusted)
        except ManifestUnusable as error:
            raise OffsiteFailed(f"{final} is in the way: {error}; move it away") from None
        if there.files != manifest.files:
            raise OffsiteFailed(f"{final} is another backup of that name; move it away")
        _refuse_different(final, manifest.files)
        return final


def _prepare(partial: Path, files: Collection[FileEntry]) -> None:
    """The folder with every file at its full length; what is there already stays.

    Raises:
        OffsiteFailed: there is no room for what is missing.
    """
    partial.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
    there = sum(path.stat().st_blocks * 512 for path in partial.rglob("*") if path.is_file())
    needed = sum(file.size_bytes for file in files) - there
    if (free := shutil.disk_usage(partial).free) < needed:
        raise OffsiteFailed(f"{needed} bytes needed in {partial.parent}, {free} are free")
    for file in files:
        path = partial / file.name
        path.parent.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, FILE_MODE)
        try:
            os.ftruncate(fd, file.size_bytes)
        finally:
            os.close(fd)


def _on_disk(path: Path, offset_bytes: int, size_bytes: int) -> str:
    with path.open("rb") as file:
        file.seek(offset_bytes)
        return hashlib.sha256(file.read(size_bytes)).hexdigest()


def _write_at(path: Path, offset_bytes: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset_bytes)
        file.write(data)


def _refuse_changed(data: bytes, sha256: str, what: str) -> None:
    if hashlib.sha256(data).hexdigest() != sha256:
        raise OffsiteFailed(f"{what} was changed or cut since it was stored")


def _refuse_different(folder: Path, files: Collection[FileEntry]) -> None:
    for file in files:
        path = folder / file.name
        if not path.is_file() or sha256_of(path) != file.sha256:
            raise OffsiteFailed(f"{path} is not what its manifest says; remove it and try again")


@contextlib.contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OffsiteFailed(f"can't bring a copy into {folder}: {error.strerror}") from None
