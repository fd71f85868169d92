"""Owns going through all files of a base backup, each held against the manifest on its way.

Where the files go is a `Sink`'s business: nowhere when a backup is verified, onto disk when it is
restored. There is one walk for both, so that what is restored was read as it was verified.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from shippyard.backup.engines.base_manifest import (
    FILE_NAME,
    LABEL_NAME,
    Audit,
    BaseManifest,
    Label,
    parse_label,
    read_base_manifest,
)
from shippyard.backup.engines.tarball import SUFFIX, Part, Tarball, TarballUnusable
from shippyard.backup.manifest import FileEntry
from shippyard.backup.wal.names import is_history, is_segment

BASE = f"base{SUFFIX}"
WAL = f"pg_wal{SUFFIX}"
VERSION_NAME = "PG_VERSION"
SMALL_MAX_BYTES = 64 * 1024

_TABLESPACE = re.compile(rf"([0-9]+){re.escape(SUFFIX)}")
_MARK = re.compile(r"archive_status/[0-9A-F]{24}\.done")

Write = Callable[[memoryview], object]


class BaseUnusable(Exception):
    """The backup is not what the server once sent; one line says in what way."""


class Sink(Protocol):
    """Where files go. Paths are below the data folder, those of tablespaces by their oid."""

    def folder(self, name: str) -> None:
        """A folder, empty or not."""
        ...

    def tablespace(self, oid: str) -> None:
        """A tablespace. Where production had it only `tablespace_map` says."""
        ...

    def file(self, name: str, size_bytes: int) -> AbstractContextManager[Write]:
        """A file; its content is written to what is given."""
        ...


class Nowhere:
    """Files are read and not kept."""

    def folder(self, name: str) -> None:
        """See `Sink`."""

    def tablespace(self, oid: str) -> None:
        """See `Sink`."""

    def file(self, name: str, size_bytes: int) -> AbstractContextManager[Write]:  # noqa: ARG002  as in `Sink`
        """See `Sink`."""
        return nullcontext(len)


@dataclass(frozen=True)
class Walked:
    """What was learnt on the way. `hashes` are those of the compressed files, by name."""

    manifest: BaseManifest
    label: Label
    server_major: int
    wal: tuple[str, ...]
    wal_segment_bytes: int | None
    hashes: dict[str, FileEntry]


class Walk:
    """All tars of one folder, `jobs` of them at once. `breathe` is called often, and may raise."""

    def __init__(self, folder: Path, sink: Sink, *, jobs: int, breathe: Callable[[], None]) -> None:
        self._folder = folder
        self._sink = sink
        self._jobs = jobs
        self._breathe = breathe
        self._manifest = read_base_manifest(folder)
        self._audit = Audit(self._manifest)
        self._kept: dict[str, bytes] = {}
        self._wal: dict[str, int] = {}

    def run(self, names: Sequence[str]) -> tuple[Walked, list[str]]:
        """Read the artifact's files; gives what was learnt and what is wrong.

        Raises:
            BaseUnusable: so much is missing that nothing can be said of the rest.
            BaseManifestUnusable, TarballUnusable, OSError: a file can't be read.
        """
        tars = [name for name in names if name != FILE_NAME]
        strange = [n for n in tars if n not in (BASE, WAL) and not _TABLESPACE.fullmatch(n)]
        absent = sorted({BASE, WAL, FILE_NAME} - set(names))
        if strange or absent:
            raise BaseUnusable(f"no base backup: missing {absent}, not known {strange}")
        # Largest first, so that none is left to run alone at the end.
        tars.sort(key=lambda name: (self._folder / name).stat().st_size, reverse=True)
        with ThreadPoolExecutor(self._jobs) as pool:
            hashes = list(pool.map(self._read, tars))
        return self._learnt({entry.name: entry for entry in hashes}), self._audit.problems()

    def _read(self, name: str) -> FileEntry:
        if tablespace := _TABLESPACE.fullmatch(name):
            self._sink.tablespace(tablespace.group(1))
        take = self._wal_part if name == WAL else self._part
        prefix = _prefix(name)
        with Tarball(self._folder / name) as tar:
            for part in tar.parts():
                self._breathe()
                take(tar, part, prefix + part.name)
        return FileEntry(name, tar.size_bytes, tar.sha256)

    def _part(self, tar: Tarball, part: Part, name: str) -> None:
        if part.kind == "folder":
            self._sink.folder(name)
        else:
            self._audit.compare(name, part.size_bytes, self._file(tar, part, name))

    def _file(self, tar: Tarball, part: Part, name: str) -> str:
        digest, keep = hashlib.sha256(), bytearray()
        wanted = name in (LABEL_NAME, VERSION_NAME) and part.size_bytes <= SMALL_MAX_BYTES
        with self._sink.file(name, part.size_bytes) as write:
            for chunk in tar.content():
                digest.update(chunk)
                write(chunk)
                self._breathe()
                if wanted:
                    keep += chunk
        if wanted:
            self._kept[name] = bytes(keep)
        return digest.hexdigest()

    def _wal_part(self, tar: Tarball, part: Part, name: str) -> None:
        """WAL that was streamed beside; the manifest doesn't have it, its own decode proves it."""
        base = name.removeprefix("pg_wal/")
        if part.kind == "folder":
            return
        # A segment that ended while it was streamed is marked, so that it isn't archived again.
        is_mark = part.size_bytes == 0 and _MARK.fullmatch(base) is not None
        if not (is_segment(base) or is_history(base) or is_mark):
            raise TarballUnusable(f"{WAL} has a member {part.name!r}, which is no WAL")
        with self._sink.file(name, part.size_bytes) as write:
            for chunk in tar.content():
                write(chunk)
                self._breathe()
        if not is_mark:
            self._wal[base] = part.size_bytes

    def _learnt(self, hashes: dict[str, FileEntry]) -> Walked:
        try:
            label = parse_label(self._kept[LABEL_NAME].decode())
            major = int(self._kept[VERSION_NAME].decode())
        except (KeyError, ValueError) as error:
            raise BaseUnusable(f"{BASE} lacks {LABEL_NAME} or {VERSION_NAME}: {error}") from None
        segments = {name: size for name, size in self._wal.items() if is_segment(name)}
        size_bytes = max(segments.values(), default=None)
        return Walked(self._manifest, label, major, tuple(sorted(segments)), size_bytes, hashes)


def first_label(folder: Path) -> Label:
    """Where recovery begins, from the tar's first members; the rest is not read.

    Raises:
        BaseUnusable: it is not there.
        BaseManifestUnusable, TarballUnusable, OSError: it can't be read.
    """
    with Tarball(folder / BASE) as tar:
        for part in tar.parts():
            if part.name == LABEL_NAME:
                return parse_label(b"".join(tar.content()).decode())
    raise BaseUnusable(f"{BASE} lacks {LABEL_NAME}")


def _prefix(name: str) -> str:
    """Where a tar's members are below the data folder."""
    if name == BASE:
        return ""
    match = _TABLESPACE.fullmatch(name)
    return f"pg_tblspc/{match.group(1)}/" if match else "pg_wal/"
