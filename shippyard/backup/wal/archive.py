"""Owns the WAL that is kept for a cluster: `<root>/@cluster/wal/<name>.zst`, and a list of it.

A file is compressed, fsynced, decoded again and compared before it gets its name; then it is
listed in `.index`, durably. The list says what there must be, so that also the newest file is
missed when it goes; should the list itself be lost, what decodes is listed again. A name is
written once: the same content again is fine, another content is refused.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from shippyard.backup.compression import Undecodable, compress_file, decompressed
from shippyard.backup.lock import exclusive
from shippyard.backup.restore.physical import WalUnusable
from shippyard.backup.wal.header import HEADER_BYTES, NotWal, check_header, parse_header
from shippyard.backup.wal.names import (
    PARTIAL,
    NameInvalid,
    Switch,
    is_history,
    is_partial,
    is_segment,
    is_wal,
    parse_history,
    timeline_of,
)
from shippyard.backup.wal.record import Entry, Identity, Kept, Lost, Record
from shippyard.host.files import CHUNK_BYTES, fsync_path, publish

SUFFIX = ".zst"
HISTORY_BYTES_MAX = 1024 * 1024
LEVEL = 3
FETCH_TRIES = 3


class WalRefused(Exception):
    """A file was not taken into the archive; one line says why and what to do."""


class WalArchive:
    """The WAL of one cluster. A `WalSource`: it can be restored from as it is."""

    def __init__(self, root: Path, subject: str) -> None:
        self.folder = root / subject / "wal"
        self.receiving = self.folder / ".receiving"
        """Where pg_receivewal writes what is not whole yet."""
        self.subject = subject
        self._record = Record(self.folder / ".index")
        self._lock = self.folder / ".lock"

    def prepare(self) -> None:
        """Make the folders, durably, closed to others.

        Raises:
            OSError: they can't be made.
        """
        for folder in (self.folder.parent.parent, self.folder.parent, self.folder, self.receiving):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        fsync_path(self.folder)
        fsync_path(self.folder.parent)

    def path(self, name: str) -> Path:
        """Where a file is stored."""
        return self.folder / f"{name}{SUFFIX}"

    def put(self, source: Path, now: datetime, name: str | None = None) -> bool:
        """Keep a copy of `source`; False when the same content is kept already.

        Raises:
            WalRefused: another content is kept under that name, or it is not WAL of this server.
            Busy: another process puts just now.
            OSError: it can't be read or written.
        """
        name = name or source.name
        if not is_wal(name):
            raise WalRefused(f"{source} is no WAL file: {name!r} is none of PostgreSQL's names")
        with exclusive(self._lock, f"putting {name}"):
            self._check_content(source, name)
            sha256, size_bytes = _hashed(source)
            kept = self._listed(name, now)
            if kept and kept.sha256 != sha256:
                raise WalRefused(
                    f"{name} is kept with other content ({self.path(name)}); "
                    "are there two servers that archive to one place?"
                )
            if kept and self._is_whole(kept):
                return False
            self._store(source, name, sha256)
            self._list(name, size_bytes, sha256, now)
            return True

    def kept(self) -> Kept:
        """What there must be, by the list.

        Raises:
            OSError: the list can't be read.
        """
        return self._record.kept()

    def stats(self) -> dict[str, os.stat_result]:
        """The files there are, by name.

        Raises:
            OSError: the folder can't be read.
        """
        if not self.folder.is_dir():
            return {}
        with os.scandir(self.folder) as listing:
            return {
                each.name.removesuffix(SUFFIX): each.stat()
                for each in listing
                if each.name.endswith(SUFFIX) and is_wal(each.name.removesuffix(SUFFIX))
            }

    def segments(self) -> list[str]:
        """Names that can be fetched: segments and histories, the unfinished by their full names."""
        return sorted(
            {
                each.removesuffix(PARTIAL)
                for each in (*self.stats(), *self._received())
                if is_segment(each) or is_partial(each) or is_history(each)
            }
        )

    def segments_begun(self) -> list[str]:
        """Whole segments that were received and are about to be kept."""
        return [name for name in self._received() if is_segment(name)]

    def fetch(self, name: str, into: Path) -> bool:
        """Write a file as the server made it to `into`; False when there is none.

        Without a complete segment, what was received of it is given under its full name.

        Raises:
            WalUnusable: it is damaged.
            OSError: it can't be written.
        """
        into.parent.stat()
        for _ in range(FETCH_TRIES):
            # What is being received gets its full name, then moves here, while it is looked for.
            with contextlib.suppress(FileNotFoundError):
                return self._fetch(name, into)
        return False

    def problem(self, name: str) -> str | None:
        """What is wrong with a kept file after all of it was read; None when nothing is.

        Raises:
            OSError: it can't be read.
        """
        try:
            self._prove(name, self.kept().entries.get(name))
        except WalUnusable as error:
            return str(error)
        return None

    def adopt(self, name: str, now: datetime) -> None:
        """List a file that is here and not listed, having read all of it; a damaged one is left.

        Raises:
            Busy: another process puts just now.
            OSError: it can't be read.
        """
        with exclusive(self._lock, f"listing {name}"):
            self._listed(name, now)

    def remove(self, names: Iterable[str]) -> None:
        """Delete files for good. The list is told first: what is not listed is not missed.

        Raises:
            OSError: one can't be deleted.
        """
        doomed = list(names)
        self._record.removed(doomed)
        for name in doomed:
            self.path(name).unlink(missing_ok=True)
        fsync_path(self.folder)

    def declare_lost(self, first: str, last: str, now: datetime) -> None:
        """Say, durably, that these segments will never come."""
        self._record.lost(Lost(first, last, now))

    def histories(self) -> dict[int, tuple[Switch, ...]]:
        """Every readable timeline history, by timeline; a damaged one is left for the scan.

        Raises:
            OSError: the folder can't be read.
        """
        found = {}
        for name in self.segments():
            if is_history(name):
                with contextlib.suppress(WalUnusable, NameInvalid, Undecodable):
                    found[timeline_of(name)] = parse_history(self._text(name))
        return found

    def learn_identity(self, identity: Identity) -> None:
        """Say whose WAL this is, once.

        Raises:
            WalRefused: it is another server's.
        """
        known = self.kept().identity
        if known is None:
            self._record.identity(identity)
        elif known != identity:
            raise WalRefused(
                f"{self.folder} holds WAL of the server with system identifier "
                f"{known.system_identifier}, not {identity.system_identifier}; move {self.folder} "
                "away to begin anew, and take a base backup"
            )

    def _check_content(self, source: Path, name: str) -> None:
        """A segment must be what its name says, of the server whose WAL is kept here."""
        if is_history(name) or not (is_segment(name) or is_partial(name)):
            return
        try:
            with source.open("rb") as file:
                header = parse_header(file.read(HEADER_BYTES))
            check_header(header, name, source.stat().st_size)
        except NotWal as error:
            raise WalRefused(f"{source}: {error}") from None
        self.learn_identity(Identity(header.system_identifier, header.segment_bytes))

    def _learn_identity_from(self, name: str) -> None:
        if is_segment(name):
            with decompressed(self.path(name)) as stream, contextlib.suppress(NotWal, WalRefused):
                header = parse_header(stream.read(HEADER_BYTES))
                self.learn_identity(Identity(header.system_identifier, header.segment_bytes))

    def _fetch(self, name: str, into: Path) -> bool:
        for candidate in (name, f"{name}{PARTIAL}"):
            if self.path(candidate).exists():
                self._decode_to(candidate, into)
                return True
            if candidate in self._received():
                _copy(self.receiving / candidate, into)
                return True
        return False

    def _listed(self, name: str, now: datetime) -> Entry | None:
        """What is listed of a file; one that lies here unlisted is read, and listed if good."""
        if name not in self.kept().entries and self.path(name).exists():
            with contextlib.suppress(WalUnusable):
                sha256, size_bytes = self._prove(name, None)
                self._learn_identity_from(name)
                self._list(name, size_bytes, sha256, now)
        return self.kept().entries.get(name)

    def _is_whole(self, entry: Entry) -> bool:
        """Whether the stored file still is what was put: else it is mended by the new copy."""
        try:
            self._prove(entry.name, entry)
        except (WalUnusable, OSError):
            return False
        return True

    def _store(self, source: Path, name: str, sha256: str) -> None:
        partial = self.folder / f".{name}{SUFFIX}.partial"
        partial.unlink(missing_ok=True)
        try:
            compress_file(source, partial, LEVEL)
            with decompressed(partial) as stream:
                if _digest(stream)[0] != sha256:
                    raise WalRefused(f"{source} changed while it was read; try again")
            publish(partial, self.path(name))
        finally:
            partial.unlink(missing_ok=True)

    def _list(self, name: str, size_bytes: int, sha256: str, now: datetime) -> None:
        stored = self.path(name).stat().st_size
        self._record.put(Entry(name, size_bytes, stored, sha256, now))

    def _prove(self, name: str, entry: Entry | None) -> tuple[str, int]:
        try:
            with decompressed(self.path(name)) as stream:
                found = _digest(stream)
        except FileNotFoundError:
            raise WalUnusable(f"{name} is missing from {self.folder}") from None
        except Undecodable as error:
            raise WalUnusable(f"{name} is damaged: {error}") from None
        if entry and found != (entry.sha256, entry.size_bytes):
            raise WalUnusable(f"{name} is damaged: its content is not what was put")
        return found

    def _decode_to(self, name: str, into: Path) -> None:
        entry = self.kept().entries.get(name)
        digest, size_bytes = hashlib.sha256(), 0
        try:
            with decompressed(self.path(name)) as stream, _new_file(into) as out:
                while chunk := stream.read(CHUNK_BYTES):
                    digest.update(chunk)
                    size_bytes += out.write(chunk)
        except Undecodable as error:
            into.unlink(missing_ok=True)
            raise WalUnusable(f"{name} is damaged: {error}") from None
        if entry and (digest.hexdigest(), size_bytes) != (entry.sha256, entry.size_bytes):
            into.unlink(missing_ok=True)
            raise WalUnusable(f"{name} is damaged: its content is not what was put")

    def _text(self, name: str) -> str:
        path = self.path(name)
        if not path.exists():
            return (self.receiving / name).read_bytes()[:HISTORY_BYTES_MAX].decode(errors="replace")
        with decompressed(path) as stream:
            return stream.read(HISTORY_BYTES_MAX).decode(errors="replace")

    def _received(self) -> list[str]:
        """Files in the receiver's folder; an empty one only says where receiving begins."""
        if not self.receiving.is_dir():
            return []
        with os.scandir(self.receiving) as listing:
            return [each.name for each in listing if is_wal(each.name) and _size_of(each)]


def _size_of(entry: "os.DirEntry[str]") -> int:
    try:
        return entry.stat().st_size
    except FileNotFoundError:
        return 0


def _hashed(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        return _digest(file)


def _digest(stream: BinaryIO) -> tuple[str, int]:
    digest, size_bytes = hashlib.sha256(), 0
    while chunk := stream.read(CHUNK_BYTES):
        digest.update(chunk)
        size_bytes += len(chunk)
    return digest.hexdigest(), size_bytes


@contextlib.contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "wb") as file:
        yield file


def _copy(source: Path, into: Path) -> None:
    with source.open("rb") as file, _new_file(into) as out:
        while chunk := file.read(CHUNK_BYTES):
            out.write(chunk)
