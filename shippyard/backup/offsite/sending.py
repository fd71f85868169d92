"""Owns making one copy: cut, encrypt, upload what is not there yet, read all of it back, seal.

The manifest goes last: a copy without one is not a copy. What an earlier attempt left is used
again, and read back like the rest. Knows no catalog and no schedule.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shippyard.backup.manifest import FileEntry, Manifest, parse_manifest, read_file
from shippyard.backup.offsite.age import Recipients
from shippyard.backup.offsite.fetching import read_index
from shippyard.backup.offsite.objects import (
    Found,
    ObjectAbsent,
    OffsiteFailed,
    SourceDamaged,
    Store,
)
from shippyard.backup.offsite.parts import (
    AGE,
    INDEX,
    MANIFEST,
    Index,
    Part,
    Piece,
    Stored,
    by_number,
    cut,
    part_of,
    rendered,
    sent_before,
)
from shippyard.backup.offsite.signed import Disbelieved
from shippyard.backup.offsite.working import each
from shippyard.backup.seal import Seal
from shippyard.host.clock import Clock

TRIES = 2
"""A part that reads back wrong is sent once more; then the store is not to be trusted."""

Progress = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Sent:
    """A copy that was read back. `sent_bytes` went over the line now; the rest was there before."""

    index: Index
    sent_bytes: int
    kept_parts: int
    mended_parts: int


@dataclass(frozen=True)
class _Settled:
    """A part that is in the store and was read back equal."""

    part: Part
    sent_bytes: int
    was_there: bool


class Sender:
    """Makes copies in one store."""

    def __init__(
        self, store: Store, seal: Seal, recipients: Recipients, part_bytes: int, clock: Clock
    ) -> None:
        self._store = store
        self._seal = seal
        self._recipients = recipients
        self._part_bytes = part_bytes
        self._clock = clock

    def send(self, folder: Path, manifest: Manifest, progress: Progress) -> Sent:
        """Make the copy of a published backup whole, and prove it.

        Raises:
            ManifestUnusable: the folder's manifest is not one.
            SourceDamaged: a file here is not what was published.
            OffsiteFailed: the store failed; what was sent stays.
        """
        document = read_file(folder)
        if parse_manifest(document, self._seal.trusted).files != manifest.files:
            raise SourceDamaged(f"{folder} changed; look at it with `shippyard ctl backup verify`")
        prefix = f"{manifest.database}/{manifest.id}/"
        before = by_number(self._store.below(prefix + "parts"), prefix)
        settled = list(self._parts(folder, manifest, prefix, before, progress))
        parts = tuple(one.part for one in settled)
        index = self._seal_copy(prefix, manifest, parts, document)
        self._tidy(prefix, index)
        kept = sum(one.was_there for one in settled)
        resent = sum(one.sent_bytes for one in settled)
        mended = sum(one.was_there and one.sent_bytes > 0 for one in settled)
        return Sent(index, resent, kept - mended, mended)

    def _parts(
        self,
        folder: Path,
        manifest: Manifest,
        prefix: str,
        before: Mapping[int, list[Found]],
        progress: Progress,
    ) -> Iterator[_Settled]:
        def settle(job: tuple[Piece, bytes]) -> _Settled:
            piece, data = job
            return self._settle(prefix, piece, data, before.get(piece.number, []))

        total, done = manifest.size_bytes, 0
        said = {"id": manifest.id, "phase": "copying", "expected_bytes": total}
        for one in each(settle, _pieces(folder, manifest.files, self._part_bytes)):
            done += one.part.piece.size_bytes
            progress({**said, "size_bytes": done})
            yield one

    def _settle(self, prefix: str, piece: Piece, data: bytes, found: list[Found]) -> _Settled:
        """Have the piece in the store and read it back."""
        sha256 = hashlib.sha256(data).hexdigest()
        part = sent_before(piece, sha256, found, self._recipients)
        if part is not None and self._reads_back(prefix, part.stored):
            return _Settled(part, 0, was_there=True)
        sent = self._put(prefix, piece, sha256, data)
        return _Settled(sent, sent.stored.size_bytes, was_there=part is not None)

    def _put(self, prefix: str, piece: Piece, sha256: str, data: bytes) -> Part:
        stored = self._recipients.encrypt(data)
        part = part_of(piece, sha256, stored, self._recipients)
        self._put_object(prefix, part.stored, stored)
        return part

    def _put_object(self, prefix: str, wanted: Stored, data: bytes) -> None:
        for _ in range(TRIES):
            self._store.put(prefix + wanted.name, data)
            if self._reads_back(prefix, wanted):
                return
        raise OffsiteFailed(
            f"{self._store.place}: {prefix}{wanted.name} reads back as something else, "
            f"{TRIES} times; don't rely on this place"
        )

    def _reads_back(self, prefix: str, wanted: Stored) -> bool:
        return hashlib.sha256(self._store.get(prefix + wanted.name)).hexdigest() == wanted.sha256

    def _seal_copy(
        self, prefix: str, manifest: Manifest, parts: tuple[Part, ...], document: bytes
    ) -> Index:
        """The index and then the manifest: from then on it is a copy."""
        if sealed := self._sealed_before(prefix, parts):
            return sealed
        stored = self._recipients.encrypt(document)
        name = MANIFEST + (AGE if self._recipients else "")
        index = self._index(manifest, parts, _stored(name, stored))
        data = rendered(index, self._seal.signer)
        self._put_object(prefix, _stored(INDEX, data), data)
        self._put_object(prefix, index.manifest, stored)
        return index

    def _sealed_before(self, prefix: str, parts: tuple[Part, ...]) -> Index | None:
        """The index of a copy that is complete already: a good one is never written over."""
        try:
            index = read_index(self._store, prefix, self._seal.trusted)
            whole = self._reads_back(prefix, index.manifest)
        except (ObjectAbsent, Disbelieved):
            return None
        return index if whole and index.parts == parts else None

    def _index(self, manifest: Manifest, parts: tuple[Part, ...], document: Stored) -> Index:
        return Index(
            id=manifest.id,
            database=manifest.database,
            kind=manifest.kind,
            started_at=manifest.started_at,
            finished_at=manifest.finished_at,
            copied_at=self._clock.now(),
            size_bytes=manifest.size_bytes,
            parent=manifest.parent,
            wal_first=manifest.wal_first,
            key_ids=self._recipients.key_ids,
            part_bytes=self._part_bytes,
            parts=parts,
            manifest=document,
        )

    def _tidy(self, prefix: str, index: Index) -> None:
        """Take away what an attempt with other keys left; what the store keeps does no harm."""
        named = {part.stored.name for part in index.parts} | {INDEX, index.manifest.name}
        for found in self._store.below(prefix.rstrip("/")):
            if found.key.removeprefix(prefix) not in named:
                self._store.delete(found.key)


def _stored(name: str, data: bytes) -> Stored:
    return Stored(name, len(data), hashlib.sha256(data).hexdigest())


def _pieces(
    folder: Path, files: tuple[FileEntry, ...], part_bytes: int
) -> Iterator[tuple[Piece, bytes]]:
    """Every piece with its bytes, which are those that the whole file's hash was taken of.

    Raises:
        SourceDamaged: a file is not the one that was published.
    """
    pieces: dict[str, list[Piece]] = {file.name: [] for file in files}
    for piece in cut(files, part_bytes):
        pieces[piece.file].append(piece)
    for file in files:
        digest = hashlib.sha256()
        try:
            with (folder / file.name).open("rb") as opened:
                for piece in pieces[file.name]:
                    data = opened.read(piece.size_bytes)
                    digest.update(data)
                    yield piece, data
                is_longer = bool(opened.read(1))
        except OSError as error:
            raise SourceDamaged(f"{folder / file.name} can't be read: {error.strerror}") from None
        if is_longer or digest.hexdigest() != file.sha256:
            raise SourceDamaged(
                f"{folder / file.name} is not what was published; "
                f"run `shippyard ctl backup verify {folder.name}`",
                lasting=True,
            )
