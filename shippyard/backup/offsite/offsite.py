"""Owns what may be asked of the place off the machine: copies, WAL and state snapshots in it.

Everything is found by listing: a restore needs the place, keys, and nothing else that we keep.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from shippyard.backup.manifest import Manifest
from shippyard.backup.model import Kind, kind_in
from shippyard.backup.offsite.age import Identities, Recipients, recipients_of
from shippyard.backup.offsite.fetching import Fetcher, read_index
from shippyard.backup.offsite.objects import Kept, ObjectAbsent, OffsiteFailed, Store
from shippyard.backup.offsite.parts import INDEX, MANIFEST, Index
from shippyard.backup.offsite.protection import Protection, prove
from shippyard.backup.offsite.sending import Progress, Sender
from shippyard.backup.offsite.signed import Disbelieved
from shippyard.backup.offsite.states import StateCopies
from shippyard.backup.offsite.store import open_store
from shippyard.backup.offsite.wal import WalCopies
from shippyard.backup.offsite.working import each
from shippyard.backup.seal import Seal
from shippyard.config.models import Offsite as Settings
from shippyard.host.clock import Clock

PROVEN_AGAIN = timedelta(days=1)


class NoSuchCopy(OffsiteFailed):
    """The place has no copy of that backup."""


@dataclass(frozen=True)
class Copy:
    """A copy that was read back, part by part. `sent_bytes` is what went over the line for it."""

    backup_id: str
    database: str
    kind: Kind
    place: str
    started_at: datetime
    verified_at: datetime
    size_bytes: int
    stored_bytes: int
    sent_bytes: int
    parts: int
    kept_parts: int
    mended_parts: int
    key_ids: tuple[str, ...]
    protection: Protection


@dataclass(frozen=True)
class CopyFound:
    """A copy as the store shows it. One with a `problem` can't be restored from."""

    backup_id: str
    database: str
    kind: Kind
    index: Index | None
    problem: str | None = None


class Offsite:
    """One place off the machine. Safe from any thread."""

    def __init__(
        self,
        store: Store,
        seal_: Seal,
        *,
        recipients: Recipients,
        identities: Identities,
        part_bytes: int,
        clock: Clock,
    ) -> None:
        self._store = store
        self._seal = seal_
        self._recipients = recipients
        self._identities = identities
        self._clock = clock
        self._sender = Sender(store, seal_, recipients, part_bytes, clock)
        self._fetcher = Fetcher(store, seal_.trusted, identities)
        self._protection: tuple[datetime, Protection] | None = None

    @property
    def place(self) -> str:
        """Where it is, without secrets."""
        return self._store.place

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Ids of the keys that copies are encrypted to; none when they are not."""
        return self._recipients.key_ids

    def send(self, folder: Path, manifest: Manifest, progress: Progress = lambda _: None) -> Copy:
        """Copy a published backup; every part is read back before this returns.

        Raises:
            ManifestUnusable: the folder holds no manifest that we trust.
            OffsiteFailed: there is no verified copy; what was sent stays for the next attempt.
        """
        sent = self._sender.send(folder, manifest, progress)
        return Copy(
            backup_id=manifest.id,
            database=manifest.database,
            kind=manifest.kind,
            place=self.place,
            started_at=manifest.started_at,
            verified_at=self._clock.now(),
            size_bytes=manifest.size_bytes,
            stored_bytes=sent.index.stored_bytes,
            sent_bytes=sent.sent_bytes,
            parts=len(sent.index.parts),
            kept_parts=sent.kept_parts,
            mended_parts=sent.mended_parts,
            key_ids=sent.index.key_ids,
            protection=self.protection(),
        )

    def list(self) -> list[CopyFound]:
        """Every copy in the store, newest first.

        Raises:
            OffsiteFailed: the store could not be asked.
        """
        found = list(each(self._look_at, self._places()))
        return sorted(found, key=lambda copy: copy.backup_id, reverse=True)

    def find(self, backup_id: str) -> CopyFound:
        """The copy of one backup.

        Raises:
            NoSuchCopy: there is none.
            OffsiteFailed: the store could not be asked.
        """
        return self._look_at(self._place_of(backup_id))

    def manifest(self, backup_id: str) -> Manifest:
        """The manifest of a copy.

        Raises:
            KeyLost: it is encrypted, and not to a key that we have.
            OffsiteFailed: there is no such copy, or it can't be trusted or read.
        """
        return self._fetcher.manifest(_prefix(*self._place_of(backup_id)))

    def fetch(self, backup_id: str, into: Path, progress: Progress = lambda _: None) -> Path:
        """A copy as the folder `into/subject/id`, which is what was published, byte for byte.

        Raises:
            KeyLost: it is encrypted, and not to a key that we have.
            OffsiteFailed: it can't be had whole; what arrived stays for the next attempt.
        """
        return self._fetcher.fetch(_prefix(*self._place_of(backup_id)), into, progress)

    def delete(self, backup_id: str) -> Kept | None:
        """Delete a copy, its manifest first; `Kept` when the store must keep something of it.

        Raises:
            OffsiteFailed: it could not be deleted; what is left is no copy any more.
        """
        for subject in self._subjects():
            if backup_id in self._store.folders(subject):
                return self._delete(_prefix(subject, backup_id))
        return None

    def put_wal(self, subject: str, name: str, file: Path) -> None:
        """Send a WAL file of `@cluster` and read it back; see `WalCopies.put`.

        Raises:
            OffsiteFailed: it is not there, or another content has that name.
        """
        self.wal_source(subject).put(name, file)

    def wal_source(self, subject: str) -> WalCopies:
        """The WAL of `@cluster` in the store."""
        return WalCopies(self._store, subject, self._seal, self._recipients, self._identities)

    @property
    def states(self) -> StateCopies:
        """Snapshots of the state database in the store."""
        return StateCopies(self._store, self._seal, self._recipients, self._identities)

    def put_state(self, file: Path) -> None:
        """Send a snapshot of the state database and read it back; see `StateCopies.put`.

        Raises:
            OffsiteFailed: it is not there.
        """
        self.states.put(file)

    def list_state(self) -> Sequence[str]:
        """Names of state snapshots, newest first.

        Raises:
            OffsiteFailed: the store could not be asked.
        """
        return self.states.names()

    def fetch_state(self, name: str, into: Path) -> Path:
        """A snapshot as the file `into/name`; see `StateCopies.fetch`.

        Raises:
            KeyLost, OffsiteFailed: it can't be had.
        """
        return self.states.fetch(name, into)

    def protection(self) -> Protection:
        """Whether what is here can be deleted; tried once a day.

        Raises:
            OffsiteFailed: the store could not be asked.
        """
        now = self._clock.now()
        if self._protection is None or now - self._protection[0] >= PROVEN_AGAIN:
            self._protection = (now, prove(self._store, self._clock))
        return self._protection[1]

    def is_ours(self, found: CopyFound) -> bool:
        """Whether a whole copy was made with the key that we sign with."""
        with contextlib.suppress(OffsiteFailed):
            prefix = _prefix(found.database, found.backup_id)
            return found.problem is None and bool(
                read_index(self._store, prefix, {self._seal.signer.public_key})
            )
        return False

    def close(self) -> None:
        """End what is under way. Safe twice."""
        self._store.close()

    def _subjects(self) -> Sequence[str]:
        return [name for name in self._store.folders("") if not name.startswith(".")]

    def _places(self) -> Sequence[tuple[str, str]]:
        return [
            (subject, name)
            for subject in self._subjects()
            for name in self._store.folders(subject)
            if kind_in(name)
        ]

    def _place_of(self, backup_id: str) -> tuple[str, str]:
        for subject, found in self._places():
            if found == backup_id:
                return subject, found
        raise NoSuchCopy(
            f"{self.place} has no copy of {backup_id}; see `shippyard ctl backup copies`",
            lasting=True,
        )

    def _look_at(self, place: tuple[str, str]) -> CopyFound:
        subject, backup_id = place
        kind = kind_in(backup_id)
        assert kind is not None, f"{backup_id} is no id"
        try:
            index = read_index(self._store, _prefix(*place), self._seal.trusted)
        except ObjectAbsent:
            return CopyFound(backup_id, subject, kind, None, "not complete: it has no manifest")
        except Disbelieved as error:
            return CopyFound(backup_id, subject, kind, None, str(error))
        if problem := self._lack_of(_prefix(*place), index):
            return CopyFound(backup_id, subject, kind, None, f"not complete: {problem}")
        return CopyFound(backup_id, subject, kind, index)

    def _lack_of(self, prefix: str, index: Index) -> str | None:
        """What the store has lost of a copy, by a listing: a bucket's own rules delete, too."""
        there = {one.key: one.size_bytes for one in self._store.below(prefix.rstrip("/"))}
        if prefix + index.manifest.name not in there:
            return "it has no manifest"
        for stored in (part.stored for part in index.parts):
            size_bytes = there.get(prefix + stored.name)
            if size_bytes != stored.size_bytes:
                what = "is gone" if size_bytes is None else f"has {size_bytes} bytes"
                return f"{stored.name} {what}"
        return None

    def _delete(self, prefix: str) -> Kept | None:
        """The manifest first: what is left without it is not taken for a copy."""
        keys = [found.key for found in self._store.below(prefix.rstrip("/"))]
        ordered = sorted(keys, key=lambda key: (_rank(key.removeprefix(prefix)), key))
        for key in ordered:
            if kept := self._store.delete(key):
                return kept
        return None


def open_offsite(settings: Settings, seal_: Seal, clock: Clock) -> Offsite:
    """The place that config names. Nothing is asked of it yet.

    Raises:
        BadPlace: the URL is none of ours.
        BadKey: a recipient is no age key.
        SecretMissing: a credential can't be read.
    """
    return Offsite(
        open_store(settings, clock),
        seal_,
        recipients=recipients_of(settings.recipients),
        identities=Identities(settings.identity_credential),
        part_bytes=settings.part_bytes,
        clock=clock,
    )


def _prefix(subject: str, backup_id: str) -> str:
    return f"{subject}/{backup_id}/"


def _rank(name: str) -> int:
    if name.startswith(MANIFEST):
        return 0
    return 2 if name == INDEX else 1
