"""Owns how a backup is cut into parts, and the signed index of them. Pure: talks to no store.

A part's object is named by its number and its hashes, so a listing alone says what an upload that
was cut had already sent, and nothing is ever overwritten by something else. An encrypted part
differs each time it is made: its name carries both hashes, and for which keys it is.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import AwareDatetime, TypeAdapter, ValidationError

from shippyard.backup.manifest import FileEntry
from shippyard.backup.model import Kind
from shippyard.backup.offsite.age import Recipients
from shippyard.backup.offsite.objects import Found
from shippyard.backup.offsite.signed import Disbelieved, believed, signed
from shippyard.host.signing import Signer

VERSION: Final = 1
MAX_BYTES = 64 * 1024 * 1024
PARTS = "parts"
INDEX = "index.json"
MANIFEST = "manifest.json"
AGE = ".age"


@dataclass(frozen=True)
class Piece:
    """A stretch of one file that becomes a part."""

    number: int
    file: str
    offset_bytes: int
    size_bytes: int


@dataclass(frozen=True)
class Stored:
    """One object: its name in the copy's folder, and size and hash as it lies in the store."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Part:
    """A piece, the hash of what it holds, and the object that holds it."""

    piece: Piece
    sha256: str
    stored: Stored


@dataclass(frozen=True)
class Index:
    """What a copy consists of. `size_bytes` is the backup's own; parts stand in order."""

    id: str
    database: str
    kind: Kind
    started_at: AwareDatetime
    finished_at: AwareDatetime
    copied_at: AwareDatetime
    size_bytes: int
    parent: str | None
    wal_first: str | None
    key_ids: tuple[str, ...]
    part_bytes: int
    parts: tuple[Part, ...]
    manifest: Stored
    version: Literal[1] = 1

    @property
    def stored_bytes(self) -> int:
        """What the parts take in the store."""
        return sum(part.stored.size_bytes for part in self.parts)


_adapter = TypeAdapter(Index)


def rendered(index: Index, signer: Signer) -> bytes:
    """The index's object."""
    return signed(_adapter.dump_python(index, mode="json"), signer)


def parse_index(data: bytes, trusted: Collection[str], what: str) -> Index:
    """An index from its object.

    Raises:
        Disbelieved: not signed by one we trust, of another version, or not one.
    """
    document = believed(data, trusted, f"the index of {what}")
    if document.get("version") != VERSION:
        raise Disbelieved(f"the index of {what} is of version {document.get('version')!r}")
    try:
        return _adapter.validate_python(document)
    except ValidationError:
        raise Disbelieved(f"the index of {what} is none of ours") from None


def cut(files: Iterable[FileEntry], part_bytes: int) -> Iterator[Piece]:
    """The files' pieces, in order; an empty file has none."""
    number = 0
    for file in files:
        for offset in range(0, file.size_bytes, part_bytes):
            yield Piece(number, file.name, offset, min(part_bytes, file.size_bytes - offset))
            number += 1


def part_of(piece: Piece, sha256: str, stored: bytes, recipients: Recipients) -> Part:
    """The part that `stored` makes of a piece."""
    stored_sha256 = hashlib.sha256(stored).hexdigest()
    name = f"{_stem(piece, sha256)}{_tail(stored_sha256, recipients)}"
    return Part(piece, sha256, Stored(name, len(stored), stored_sha256))


def sent_before(
    piece: Piece, sha256: str, found: Collection[Found], recipients: Recipients
) -> Part | None:
    """The part as an earlier attempt stored it for the same keys; None when it did not.

    `found` are objects by their names in the copy's folder.
    """
    stem = _stem(piece, sha256)
    for each in found:
        stored_sha256 = each.key.removeprefix(stem)[1:65] if recipients else sha256
        fits = each.key == f"{stem}{_tail(stored_sha256, recipients)}"
        if fits and (recipients or each.size_bytes == piece.size_bytes):
            return Part(piece, sha256, Stored(each.key, each.size_bytes, stored_sha256))
    return None


def by_number(found: Iterable[Found], prefix: str) -> dict[int, list[Found]]:
    """Objects below `prefix` by the number of their part, under their names in the folder."""
    numbered: dict[int, list[Found]] = {}
    for each in found:
        name = each.key.removeprefix(prefix)
        number = name.removeprefix(f"{PARTS}/").split(".", 1)[0]
        if number.isdecimal():
            numbered.setdefault(int(number), []).append(Found(name, each.size_bytes))
    return numbered


def _stem(piece: Piece, sha256: str) -> str:
    return f"{PARTS}/{piece.number:06d}.{sha256}"


def _tail(stored_sha256: str, recipients: Recipients) -> str:
    if not recipients:
        return ""
    keys = hashlib.sha256(",".join(sorted(recipients.key_ids)).encode()).hexdigest()[:8]
    return f".{stored_sha256}.{keys}{AGE}"
