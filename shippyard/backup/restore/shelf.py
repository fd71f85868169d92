"""Owns where a restore finds backups: by their manifests alone, in a folder or off the machine.

Needs no catalog and no daemon. Whom to believe is given; a manifest signed by somebody else is
listed apart, with the key that signed it, and is never restored.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from shippyard.backup.layout import Layout
from shippyard.backup.manifest import (
    FILE_NAME,
    Manifest,
    ManifestUnusable,
    read_file,
    read_manifest,
    signed_by,
)
from shippyard.backup.model import kind_in
from shippyard.backup.restore.physical import WalSource
from shippyard.backup.restore.sources import SeveralSources
from shippyard.backup.wal.archive import WalArchive
from shippyard.host.signing import KeyUnusable, key_id_of

REASONS_MAX = 3
"""So many reasons fit a line."""


class NothingHere(Exception):
    """No backup that may be restored; the message says what was found instead."""


@dataclass(frozen=True)
class Unusable:
    """A backup that is there and can't be restored as things are. `key_id` is who signed it."""

    subject: str
    id: str
    why: str
    key_id: str | None = None


@dataclass(frozen=True)
class Shelved:
    """What was found. `manifests` are oldest first."""

    manifests: tuple[Manifest, ...]
    unusable: tuple[Unusable, ...] = ()

    def of(self, subject: str | None, kinds: Iterable[str]) -> list[Manifest]:
        """Those of a subject, or of all, and of these kinds, oldest first."""
        wanted = set(kinds)
        found = (m for m in self.manifests if subject in (None, m.database))
        return [manifest for manifest in found if manifest.kind in wanted]


class Shelf(Protocol):
    """A place with backups."""

    def look(self) -> Shelved:
        """Every backup there is, by its manifest.

        Raises:
            NothingHere: the place can't be read.
        """
        ...

    def folder(self, manifest: Manifest, scratch: Path | None) -> Path:
        """A local folder with the backup's files; from off the machine it is fetched to `scratch`.

        Raises:
            NothingHere: it can't be had.
        """
        ...

    def at_hand(self, manifest: Manifest) -> Path | None:
        """The folder with the backup's files when it is on this machine; nothing is fetched."""
        ...

    def wal(self, subject: str) -> WalSource | None:
        """The WAL that is kept of a cluster; None when there is none."""
        ...

    def reading(self) -> AbstractContextManager[None]:
        """While it is entered, retention on this machine deletes nothing here."""
        ...


class FolderShelf:
    """Backups in a folder of this machine: a whole tree, one subject's part of it, or just one."""

    def __init__(self, place: Path, trusted: Collection[str]) -> None:
        self._trusted = trusted
        self._root, self._subject, self._id = _understood(place.resolve())

    def look(self) -> Shelved:
        """See `Shelf`."""
        layout = Layout(self._root)
        try:
            subjects = [self._subject] if self._subject else layout.databases()
            ids = [(each, backup_id) for each in subjects for backup_id in layout.published(each)]
        except OSError as error:
            raise NothingHere(f"{self._root}: {error.strerror}; is it mounted?") from None
        if not self._root.is_dir():
            raise NothingHere(f"{self._root} is not there; is it mounted?")
        found = [
            self._read(layout.folder(subject, backup_id))
            for subject, backup_id in ids
            if self._id in (None, backup_id)
        ]
        manifests = (each for each in found if isinstance(each, Manifest))
        return Shelved(
            tuple(sorted(manifests, key=lambda manifest: manifest.started_at)),
            tuple(each for each in found if isinstance(each, Unusable)),
        )

    def folder(self, manifest: Manifest, scratch: Path | None) -> Path:  # noqa: ARG002  it is here
        """See `Shelf`."""
        return self.at_hand(manifest)

    def at_hand(self, manifest: Manifest) -> Path:
        """See `Shelf`."""
        return Layout(self._root).folder(manifest.database, manifest.id)

    def wal(self, subject: str) -> WalSource | None:
        """See `Shelf`."""
        archive = WalArchive(self._root, subject)
        return archive if archive.folder.is_dir() else None

    def reading(self) -> AbstractContextManager[None]:
        """See `Shelf`."""
        return Layout(self._root).reading()

    def _read(self, folder: Path) -> Manifest | Unusable:
        try:
            return read_manifest(folder, self._trusted)
        except ManifestUnusable as error:
            return Unusable(folder.parent.name, folder.name, str(error), _signer_of(folder))


class Shelves:
    """Several places: the first that has a backup gives it, so put the nearest first."""

    def __init__(self, shelves: Sequence[Shelf]) -> None:
        self._shelves = shelves
        self._holders: dict[str, Shelf] = {}

    def look(self) -> Shelved:
        """See `Shelf`; a place that can't be read is passed over while another can."""
        known: dict[str, Manifest] = {}
        unusable: dict[str, Unusable] = {}
        failures = []
        for shelf in self._shelves:
            try:
                found = shelf.look()
            except NothingHere as error:
                failures.append(str(error))
                continue
            for manifest in found.manifests:
                known.setdefault(manifest.id, manifest)
                self._holders.setdefault(manifest.id, shelf)
            unusable |= {each.id: each for each in found.unusable}
        if len(failures) == len(self._shelves):
            raise NothingHere("; ".join(failures))
        manifests = sorted(known.values(), key=lambda manifest: manifest.started_at)
        left = tuple(each for each in unusable.values() if each.id not in known)
        return Shelved(tuple(manifests), left)

    def folder(self, manifest: Manifest, scratch: Path | None) -> Path:
        """See `Shelf`."""
        return self._holders[manifest.id].folder(manifest, scratch)

    def at_hand(self, manifest: Manifest) -> Path | None:
        """See `Shelf`."""
        return self._holders[manifest.id].at_hand(manifest)

    def wal(self, subject: str) -> WalSource | None:
        """See `Shelf`; of each file whoever has it: what is kept here may begin later, or be lost.

        A place that can't be asked is passed over while another has some.
        """
        found, failures = [], []
        for shelf in self._shelves:
            try:
                found.append(shelf.wal(subject))
            except NothingHere as error:
                failures.append(error)
        joined = SeveralSources([wal for wal in found if wal])
        if failures and not joined.segments():
            raise failures[0]
        return joined if joined.segments() else None

    @contextmanager
    def reading(self) -> Iterator[None]:
        """See `Shelf`."""
        with ExitStack() as stack:
            for shelf in self._shelves:
                stack.enter_context(shelf.reading())
            yield


def trusted_by_id(place: Path, key_ids: Collection[str]) -> frozenset[str]:
    """The public keys, named by manifests in `place`, whose short names are among `key_ids`."""
    root, _, _ = _understood(place.resolve())
    layout = Layout(root)
    folders = (
        layout.folder(subject, backup_id)
        for subject in layout.databases()
        for backup_id in layout.published(subject)
    )
    keys = {key for folder in folders if (key := _key_of(folder))}
    return frozenset(key for key in keys if key_id_of(key) in key_ids)


def _understood(place: Path) -> tuple[Path, str | None, str | None]:
    """The root, and the subject and id when `place` names them."""
    if (place / FILE_NAME).is_file() and kind_in(place.name):
        return place.parent.parent, place.parent.name, place.name
    if place.is_dir() and any(kind_in(each.name) for each in place.iterdir()):
        return place.parent, place.name, None
    return place, None, None


def _key_of(folder: Path) -> str | None:
    try:
        key = signed_by(read_file(folder))
        key_id_of(key)
    except (ManifestUnusable, KeyUnusable):
        return None
    return key


def _signer_of(folder: Path) -> str | None:
    key = _key_of(folder)
    return key_id_of(key) if key else None


def strangers(shelved: Shelved, subject: str | None) -> str:
    """What of a subject, or of all, is there and can't be restored: the end of a refusal."""
    mine = [each for each in shelved.unusable if subject in (None, each.subject)]
    return _signed([each for each in mine if each.key_id]) + _others(
        [each for each in mine if not each.key_id]
    )


def _signed(unusable: Sequence[Unusable]) -> str:
    """Whose keys are to be believed first."""
    keys = sorted({str(each.key_id) for each in unusable})
    if not keys:
        return ""
    return (
        f"; {len(unusable)} backups are signed by {', '.join(keys)}, which is not trusted "
        f"here: if you know that key, say --trust {keys[0]} to `shippyard restore`, or name the "
        "public key in backup.trusted_keys"
    )


def _others(unusable: Sequence[Unusable]) -> str:
    """What can't be read for another reason, as a lost key of encryption; each reason once."""
    reasons = {each.why: f"{each.subject}/{each.id}: {each.why}" for each in unusable}
    if not reasons:
        return ""
    said = "; ".join([*reasons.values()][:REASONS_MAX])
    return f"; {len(unusable)} that are there can't be used: {said}"
