"""Owns the manifest: the document beside an artifact that says what it is and proves it whole.

It is parsed here, once, into frozen types; a document of another version is refused by name.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, ConfigDict, Field, TypeAdapter, ValidationError

from shippyard.backup.model import Kind, Reason
from shippyard.host.files import write_atomically

FILE_NAME = "manifest.json"
VERSION: Final = 1
MAX_BYTES = 4 * 1024 * 1024

_STRICT = ConfigDict(extra="forbid")


class ManifestUnusable(Exception):
    """No manifest here, or not one that this version can read; the message is one line."""


@dataclass(frozen=True)
class FileEntry:
    """One file of the artifact, by name inside its folder."""

    __pydantic_config__ = _STRICT

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
    size_bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


@dataclass(frozen=True)
class Source:
    """The server and database the backup is of, as they were just before its snapshot."""

    __pydantic_config__ = _STRICT

    system_identifier: str
    server_version: str
    dbname: str
    lsn_at_start: str | None
    alembic_revision: str | None
    table_count: int


@dataclass(frozen=True)
class Made:
    """The program that made the artifact; `argv` never holds a secret."""

    __pydantic_config__ = _STRICT

    tool_version: str
    tool_major: int
    argv: tuple[str, ...]


@dataclass(frozen=True)
class Verification:
    """How the artifact was proven readable before it was published."""

    __pydantic_config__ = _STRICT

    method: str
    finished_at: AwareDatetime
    elapsed_s: float


@dataclass(frozen=True)
class Manifest:
    """What a published backup says of itself. Durations include verification."""

    __pydantic_config__ = _STRICT

    id: str
    database: str
    kind: Kind
    reason: Reason
    held_by: str | None
    started_at: AwareDatetime
    finished_at: AwareDatetime
    duration_s: float
    source: Source
    made: Made
    files: Annotated[tuple[FileEntry, ...], Field(min_length=1)]
    verification: Verification
    version: Literal[1] = 1

    @property
    def size_bytes(self) -> int:
        """Bytes of all its files together."""
        return sum(file.size_bytes for file in self.files)


_adapter = TypeAdapter(Manifest)


def document_of(manifest: Manifest) -> dict[str, Any]:
    """The manifest as plain JSON values."""
    document: dict[str, Any] = _adapter.dump_python(manifest, mode="json")
    return document


def parse_manifest(data: bytes) -> Manifest:
    """A manifest from its JSON text.

    Raises:
        ManifestUnusable: not JSON, another version, or a field is wrong.
    """
    try:
        document = json.loads(data)
    except ValueError:
        raise ManifestUnusable("the manifest is not JSON") from None
    version = document.get("version") if isinstance(document, dict) else None
    if version != VERSION:
        raise ManifestUnusable(
            f"the manifest is of version {version!r}; this Shippyard reads version {VERSION}"
        )
    try:
        return _adapter.validate_json(data)
    except ValidationError as error:
        raise ManifestUnusable(_first_complaint(error)) from None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Put the manifest beside the artifact, durably, readable by the owner only."""
    text = json.dumps(document_of(manifest), indent=2)
    write_atomically(folder / FILE_NAME, text.encode() + b"\n")


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a published backup.

    Raises:
        ManifestUnusable: missing, unreadable, not one of ours, or of another backup.
    """
    try:
        with (folder / FILE_NAME).open("rb") as file:
            data = file.read(MAX_BYTES)
    except OSError as error:
        raise ManifestUnusable(f"{folder / FILE_NAME}: {error.strerror}") from None
    manifest = parse_manifest(data)
    if (manifest.database, manifest.id) != (folder.parent.name, folder.name):
        raise ManifestUnusable(f"{folder} holds the manifest of {manifest.database}/{manifest.id}")
    return manifest


def _first_complaint(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"the manifest's {where} is wrong: {first['msg']}"
