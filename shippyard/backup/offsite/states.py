"""Owns snapshots of the state database off the machine: put there, listed, fetched, thinned out."""

import re
from collections.abc import Sequence
from pathlib import Path

from shippyard.backup.offsite.age import Identities, Recipients
from shippyard.backup.offsite.objects import OffsiteFailed, Store
from shippyard.backup.offsite.signed import seal, unseal
from shippyard.backup.seal import Seal
from shippyard.host.files import write_atomically

FOLDER = ".state"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}")


class StateCopies:
    """The snapshots in one store. All are sealed."""

    def __init__(
        self, store: Store, seal_: Seal, recipients: Recipients, identities: Identities
    ) -> None:
        self._store = store
        self._seal = seal_
        self._recipients = recipients
        self._identities = identities

    def put(self, file: Path) -> None:
        """Send a snapshot under its own name and read it back.

        Raises:
            OffsiteFailed: it is not there.
        """
        key = _key(file.name)
        try:
            content = file.read_bytes()
        except OSError as error:
            raise OffsiteFailed(f"{file} can't be read: {error.strerror}") from None
        sealed = seal(key, content, self._seal.signer, self._recipients)
        self._store.put(key, sealed)
        if self._store.get(key) != sealed:
            raise OffsiteFailed(f"{self._store.place}: {key} reads back as something else")

    def names(self) -> Sequence[str]:
        """Names of snapshots, newest first: a name begins with its time.

        Raises:
            OffsiteFailed: the store could not be asked.
        """
        found = (one.key.removeprefix(f"{FOLDER}/") for one in self._store.below(FOLDER))
        return sorted(found, reverse=True)

    def fetch(self, name: str, into: Path) -> Path:
        """A snapshot as the file `into/name`.

        Raises:
            KeyLost: it is encrypted, and not to a key that we have.
            OffsiteFailed: it is not there, damaged, or not signed by one we trust.
        """
        key = _key(name)
        content = unseal(self._store.get(key), key, self._seal.trusted, self._identities)
        try:
            write_atomically(into / name, content)
        except OSError as error:
            raise OffsiteFailed(f"{into / name} can't be written: {error.strerror}") from None
        return into / name

    def keep_newest(self, kept: int) -> None:
        """Take older ones away; those that the store must keep stay.

        Raises:
            OffsiteFailed: one could not be deleted.
        """
        for name in self.names()[kept:]:
            self._store.delete(_key(name))


def _key(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise OffsiteFailed(f"{name!r} is not the name of a state snapshot")
    return f"{FOLDER}/{name}"
