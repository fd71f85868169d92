"""Owns a shelf of copies off the machine: what is there, and bringing one here to be restored.

Fetching goes on where it was cut, as long as the scratch folder is the same.
"""

import json
import tempfile
from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from shippyard.backup.manifest import Manifest
from shippyard.backup.model import kind_in
from shippyard.backup.offsite.objects import OffsiteFailed, Store
from shippyard.backup.offsite.offsite import Offsite
from shippyard.backup.offsite.parts import INDEX
from shippyard.backup.restore.physical import WalSource
from shippyard.backup.restore.shelf import NothingHere, Shelved, Unusable
from shippyard.host.signing import KeyUnusable, key_id_of


class StoreShelf:
    """The copies of one place off the machine."""

    def __init__(self, offsite: Offsite) -> None:
        self._offsite = offsite

    def look(self) -> Shelved:
        """See `Shelf`."""
        manifests: list[Manifest] = []
        unusable: list[Unusable] = []
        try:
            copies = self._offsite.list()
        except OffsiteFailed as error:
            raise NothingHere(str(error)) from None
        for copy in copies:
            found = copy.problem or self._manifest(copy.backup_id)
            if isinstance(found, Manifest):
                manifests.append(found)
            else:
                unusable.append(Unusable(copy.database, copy.backup_id, found, _named_in(found)))
        manifests.sort(key=lambda manifest: manifest.started_at)
        return Shelved(tuple(manifests), tuple(unusable))

    def _manifest(self, backup_id: str) -> Manifest | str:
        """The copy's manifest, or why it can't be had."""
        try:
            return self._offsite.manifest(backup_id)
        except OffsiteFailed as error:
            return str(error)

    def folder(self, manifest: Manifest, scratch: Path | None) -> Path:
        """See `Shelf`."""
        into = (scratch or Path(tempfile.gettempdir())) / "shippyard-fetched"
        into.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            return self._offsite.fetch(manifest.id, into)
        except OffsiteFailed as error:
            raise NothingHere(f"{manifest.id} can't be fetched: {error}") from None

    def at_hand(self, manifest: Manifest) -> None:
        """See `Shelf`: a copy is fetched first."""

    def wal(self, subject: str) -> WalSource | None:
        """See `Shelf`."""
        source = self._offsite.wal_source(subject)
        try:
            return source if source.segments() else None
        except OffsiteFailed as error:
            raise NothingHere(str(error)) from None

    def reading(self) -> AbstractContextManager[None]:
        """See `Shelf`: copies are deleted by those who keep the place."""
        return nullcontext()


def store_keys_by_id(store: Store, key_ids: Collection[str]) -> frozenset[str]:
    """The public keys, named by copies in a store, whose short names are among `key_ids`.

    Raises:
        OffsiteFailed: the store could not be asked.
    """
    keys = set()
    for subject in store.folders(""):
        for name in store.folders(subject) if not subject.startswith(".") else ():
            if kind_in(name) and (key := _key_of(store, f"{subject}/{name}/{INDEX}")):
                keys.add(key)
    return frozenset(key for key in keys if key_id_of(key) in key_ids)


def _key_of(store: Store, name: str) -> str | None:
    try:
        key = str(json.loads(store.get(name))["signed"]["public_key"])
        key_id_of(key)
    except (OffsiteFailed, KeyUnusable, ValueError, KeyError, TypeError):
        return None
    return key


def _named_in(said: str) -> str | None:
    """The key that a refusal names: `signed by key X, which is not trusted here`."""
    _, found, rest = said.partition("signed by key ")
    return rest.partition(",")[0] if found else None
