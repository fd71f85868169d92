"""Owns the manifest: the signed document beside an artifact that says what it is.

It proves the artifact whole, and says what was in the database at its snapshot, so that a restore
can be compared. It is parsed here, once, into frozen types; a document of another version is
refused by name, and one whose signature does not fit is not a manifest at all.
"""

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, ConfigDict, Field, TypeAdapter, ValidationError

from shippyard.backup.model import Kind, Reason
from shippyard.host.files import write_atomically
from shippyard.host.signing import KeyUnknown, Signature, SignatureInvalid, Signer, check

FILE_NAME = "manifest.json"
VERSION: Final = 2
MAX_BYTES = 64 * 1024 * 1024

_STRICT = ConfigDict(extra="forbid")


class ManifestUnusable(Exception):
    """No manifest here, or not one that can be relied on; the message is one line."""


class SignerUnknown(ManifestUnusable):
    """A manifest as it was signed, by a key that is not trusted here."""

    def __init__(self, message: str, public_key: str) -> None:
        super().__init__(message)
        self.public_key = public_key


@dataclass(frozen=True)
class FileEntry:
    """One file of the artifact, by its path inside the folder."""

    __pydantic_config__ = _STRICT

    name: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$")
    ]
    size_bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


@dataclass(frozen=True)
class Source:
    """The server and database the backup is of, as they were just before its snapshot.

    `dbname` is empty for a base backup, which is of every database.
    """

    __pydantic_config__ = _STRICT

    system_identifier: str
    server_version: str
    dbname: str
    lsn_at_start: str | None
    alembic_revision: str | None
    table_count: int
    timeline: int | None = None
    lsn_at_end: str | None = None
    snapshot: str | None = None


@dataclass(frozen=True)
class Extension:
    """An extension and its version, in the database that was dumped."""

    __pydantic_config__ = _STRICT

    name: str
    version: str


@dataclass(frozen=True)
class Environment:
    """What is around the data and must be there again for it to work.

    `roles` are names with their attributes, never a password. `role_settings` are rows of
    pg_db_role_setting as `database/role` (empty for all) to settings. `settings` are those of the
    server that differ from its defaults; `tablespaces` are names to locations.
    """

    __pydantic_config__ = _STRICT

    roles: dict[str, tuple[str, ...]] = field(default_factory=dict)
    role_settings: dict[str, tuple[str, ...]] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    tablespaces: dict[str, str] = field(default_factory=dict)
    extensions: tuple[Extension, ...] = ()
    preload_libraries: tuple[str, ...] = ()
    encoding: str | None = None
    collation: str | None = None
    collation_version: str | None = None


@dataclass(frozen=True)
class TableContent:
    """What one table held at the snapshot. `digest` is None when rows were only counted.

    `sampled` says that the digest is of a sample that `digest.py` knows how to take again.
    """

    __pydantic_config__ = _STRICT

    schema: str
    name: str
    rows: int
    digest: str | None
    sampled: bool = False


@dataclass(frozen=True)
class SequenceContent:
    """Where a sequence stood, read after the snapshot: a restore may stand here or later."""

    __pydantic_config__ = _STRICT

    schema: str
    name: str
    last_value: int


@dataclass(frozen=True)
class Content:
    """What was in one database, under the very snapshot that the dump holds."""

    __pydantic_config__ = _STRICT

    mode: Literal["all", "sampled", "counts"]
    tables: tuple[TableContent, ...]
    sequences: tuple[SequenceContent, ...]
    elapsed_s: float


@dataclass(frozen=True)
class Made:
    """The program that made the artifact; `argv` never holds a secret."""

    __pydantic_config__ = _STRICT

    tool_version: str
    tool_major: int
    argv: tuple[str, ...]
    engine: str = "postgres"


@dataclass(frozen=True)
class Verification:
    """How the artifact was proven readable before it was published."""

    __pydantic_config__ = _STRICT

    method: str
    finished_at: AwareDatetime
    elapsed_s: float


@dataclass(frozen=True)
class Event:
    """Something that happened to a published backup: a drill, a hold, a second verification."""

    __pydantic_config__ = _STRICT

    at: AwareDatetime
    what: Literal[
        "verified", "damaged", "replicated", "drilled", "drill_failed", "held", "released"
    ]
    detail: str = ""


@dataclass(frozen=True)
class Manifest:
    """What a published backup says of itself. Durations include verification.

    `database` is its subject: a database's name, or `@cluster` for a base backup.
    """

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
    files: tuple[FileEntry, ...]
    verification: Verification
    cluster: str = "main"
    parent: str | None = None
    wal_first: str | None = None
    """A base backup can't be restored without WAL from this segment on."""
    environment: Environment | None = None
    content: Content | None = None
    external: str | None = None
    """The label in another engine's repository, when the files are not ours."""
    external_bytes: Annotated[int, Field(ge=0)] = 0
    """What that repository keeps of it."""
    history: tuple[Event, ...] = ()
    version: Literal[2] = 2

    @property
    def size_bytes(self) -> int:
        """Bytes of all its files together, wherever they are."""
        return sum(file.size_bytes for file in self.files) + self.external_bytes


_adapter = TypeAdapter(Manifest)


def document_of(manifest: Manifest) -> dict[str, Any]:
    """The manifest as plain JSON values."""
    document: dict[str, Any] = _adapter.dump_python(manifest, mode="json")
    return document


def rendered(manifest: Manifest, signer: Signer) -> bytes:
    """The file: the document and its signature. There is one rendering of a manifest."""
    document = document_of(manifest)
    return _laid_out(document, signer.sign(_canonical(document)))


def parse_manifest(data: bytes, trusted: Collection[str]) -> Manifest:
    """A manifest from its file; `trusted` are public keys.

    Raises:
        SignerUnknown: signed by another key.
        ManifestUnusable: not JSON, another version, a wrong field, or a signature that fails.
    """
    document, signature = _opened(data)
    version = document.get("version")
    if version != VERSION:
        raise ManifestUnusable(
            f"the manifest is of version {version!r}; this Shippyard reads version {VERSION}"
        )
    try:
        check(_canonical(document), signature, trusted)
        manifest = _adapter.validate_json(json.dumps(document))
    except KeyUnknown as error:
        said = f"the manifest can't be trusted: {error}"
        raise SignerUnknown(said, error.public_key) from None
    except SignatureInvalid as error:
        raise ManifestUnusable(f"the manifest can't be trusted: {error}") from None
    except ValidationError as error:
        raise ManifestUnusable(_first_complaint(error)) from None
    if _laid_out(document, signature) != data:
        raise ManifestUnusable("the manifest's file was changed since it was written")
    return manifest


def signed_by(data: bytes) -> str:
    """The public key that a manifest's file names, whether or not the signature holds.

    Raises:
        ManifestUnusable: not a manifest at all.
    """
    return _opened(data)[1].public_key


def write_manifest(folder: Path, manifest: Manifest, signer: Signer) -> None:
    """Put the manifest beside the artifact, durably, readable by the owner only."""
    write_atomically(folder / FILE_NAME, rendered(manifest, signer))


def read_manifest(folder: Path, trusted: Collection[str]) -> Manifest:
    """The manifest of a published backup.

    Raises:
        ManifestUnusable: missing, unreadable, not one of ours, or of another backup.
    """
    manifest = parse_manifest(read_file(folder), trusted)
    if (manifest.database, manifest.id) != (folder.parent.name, folder.name):
        raise ManifestUnusable(f"{folder} holds the manifest of {manifest.database}/{manifest.id}")
    return manifest


def read_file(folder: Path) -> bytes:
    """The manifest's file as it is.

    Raises:
        ManifestUnusable: it can't be read.
    """
    try:
        with (folder / FILE_NAME).open("rb") as file:
            return file.read(MAX_BYTES)
    except OSError as error:
        raise ManifestUnusable(f"{folder / FILE_NAME}: {error.strerror}") from None


def _opened(data: bytes) -> tuple[dict[str, Any], Signature]:
    try:
        envelope = json.loads(data)
        document, signed = envelope["manifest"], envelope["signed"]
        return dict(document), Signature(str(signed["public_key"]), str(signed["signature"]))
    except (ValueError, KeyError, TypeError):
        raise ManifestUnusable("this is not a signed manifest") from None


def _laid_out(document: dict[str, Any], signature: Signature) -> bytes:
    envelope = {"manifest": document, "signed": asdict(signature)}
    return json.dumps(envelope, indent=1).encode() + b"\n"


def _canonical(document: dict[str, Any]) -> bytes:
    """What is signed: the same document always gives the same bytes."""
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _first_complaint(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"the manifest's {where} is wrong: {first['msg']}"
