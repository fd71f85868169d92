"""Owns PostgreSQL's own `backup_manifest` and `backup_label`: what a base backup says of its files.

Every file of the backup is held against it: sizes, checksums, nothing missing, nothing more. That
proves as much as pg_verifybackup does, for every major version, and needs no disk. Pure.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shippyard.backup.wal.names import NameInvalid, parse_lsn

FILE_NAME = "backup_manifest"
LABEL_NAME = "backup_label"
CHECKSUM = "SHA256"
VERSIONS = (1, 2)
MAX_BYTES = 1024 * 1024 * 1024
SAID_MAX = 5

_CHECKSUM_LINE = re.compile(rb'"Manifest-Checksum": "([0-9a-f]{64})"\}\n?\Z')
_START = re.compile(r"START WAL LOCATION: (\S+) \(file ([0-9A-F]{24})\)")


class BaseManifestUnusable(Exception):
    """The manifest or the label is not one that PostgreSQL wrote; one line says why."""


@dataclass(frozen=True)
class BaseFile:
    """One file as the server read it."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class WalRange:
    """WAL of one timeline that recovery can't do without."""

    timeline: int
    begins: str
    ends: str


@dataclass(frozen=True)
class BaseManifest:
    """Files by their path below the data folder, and the WAL that makes them consistent."""

    files: Mapping[str, BaseFile]
    wal: tuple[WalRange, ...]
    system_identifier: str | None = None
    """Only PostgreSQL 17 and later say it."""


@dataclass(frozen=True)
class Label:
    """Where recovery begins, and in which segment."""

    lsn: str
    segment: str


class Audit:
    """Holds the files of one backup against its manifest, as they come."""

    def __init__(self, manifest: BaseManifest) -> None:
        self._expected = manifest.files
        self._seen: set[str] = set()
        self._problems: list[str] = []

    def knows(self, name: str) -> bool:
        """Whether the manifest has a file of this path."""
        return name in self._expected

    def compare(self, name: str, size_bytes: int, sha256: str) -> None:
        """One file was read to its end."""
        expected = self._expected.get(name)
        if expected is None:
            self._problems.append(f"{name} is not in {FILE_NAME}")
        elif name in self._seen:
            self._problems.append(f"{name} is there twice")
        elif expected.size_bytes != size_bytes:
            self._problems.append(
                f"{name}: {size_bytes} bytes, {FILE_NAME} says {expected.size_bytes}"
            )
        elif expected.sha256 != sha256:
            self._problems.append(f"{name}: its checksum differs from {FILE_NAME}'s")
        self._seen.add(name)

    def problems(self) -> list[str]:
        """What is wrong once every file was read; a long list is cut."""
        missing = sorted(set(self._expected) - self._seen)
        found = [*self._problems, *(f"{name} is missing" for name in missing)]
        more = len(found) - SAID_MAX
        return found[:SAID_MAX] + ([f"{more} more files are wrong"] if more > 0 else [])


def read_base_manifest(folder: Path) -> BaseManifest:
    """The manifest beside the tars of a base backup.

    Raises:
        BaseManifestUnusable: missing, changed, or of a kind that is not known.
    """
    file = folder / FILE_NAME
    try:
        if file.stat().st_size > MAX_BYTES:
            raise BaseManifestUnusable(f"{file} is larger than any {FILE_NAME} can be")
        return parse_base_manifest(file.read_bytes())
    except OSError as error:
        raise BaseManifestUnusable(f"{file}: {error.strerror}") from None


def parse_base_manifest(data: bytes) -> BaseManifest:
    """A manifest from its file; its own checksum is over all but its last line.

    Raises:
        BaseManifestUnusable: changed, or of a kind that is not known.
    """
    _check_itself(data)
    try:
        document = json.loads(data)
        version = document["PostgreSQL-Backup-Manifest-Version"]
        if version not in VERSIONS:
            raise BaseManifestUnusable(f"{FILE_NAME} is of version {version}; {VERSIONS} are known")
        files = dict(_file(entry) for entry in document["Files"])
        wal = tuple(_wal_range(entry) for entry in document["WAL-Ranges"])
    except (ValueError, KeyError, TypeError) as error:
        raise BaseManifestUnusable(f"{FILE_NAME} can't be read: {error}") from None
    if not wal:
        raise BaseManifestUnusable(f"{FILE_NAME} names no WAL: the backup can't become consistent")
    system = document.get("System-Identifier")
    return BaseManifest(files, wal, None if system is None else str(system))


def parse_label(text: str) -> Label:
    """Where recovery begins.

    Raises:
        BaseManifestUnusable: it doesn't say.
    """
    match = _START.search(text)
    if match is None:
        raise BaseManifestUnusable(f"{LABEL_NAME} does not say where recovery begins")
    return Label(match.group(1), match.group(2))


def _check_itself(data: bytes) -> None:
    match = _CHECKSUM_LINE.search(data)
    if match is None:
        raise BaseManifestUnusable(f"{FILE_NAME} is cut off: its checksum is missing")
    body = data[: match.start()]
    if hashlib.sha256(body).hexdigest().encode() != match.group(1):
        raise BaseManifestUnusable(f"{FILE_NAME} was changed: its own checksum does not fit")


def _file(entry: Mapping[str, object]) -> tuple[str, BaseFile]:
    encoded = entry.get("Encoded-Path")
    name = _decoded(encoded) if encoded is not None else str(entry["Path"])
    algorithm = entry.get("Checksum-Algorithm")
    if algorithm != CHECKSUM:
        raise ValueError(f"{name} has a checksum of kind {algorithm}, not {CHECKSUM}")
    return name, BaseFile(int(str(entry["Size"])), str(entry["Checksum"]))


def _decoded(encoded: object) -> str:
    """A path that is not UTF-8 is in hexadecimal; the tar's names are decoded the same way."""
    return bytes.fromhex(str(encoded)).decode("utf-8", "surrogateescape")


def _wal_range(entry: Mapping[str, object]) -> WalRange:
    begins, ends = str(entry["Start-LSN"]), str(entry["End-LSN"])
    if parse_lsn(begins) > parse_lsn(ends):
        raise NameInvalid(f"WAL from {begins} to {ends}")
    return WalRange(int(str(entry["Timeline"])), begins, ends)
