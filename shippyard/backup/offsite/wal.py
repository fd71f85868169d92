"""Owns the WAL of one cluster off the machine: put there, listed, and fetched for a recovery.

A whole segment is never written over by another; one that is not whole yet has a name of its own,
is overwritten as it grows, and goes when the whole one is there. All of it is sealed.
"""

from pathlib import Path

from shippyard.backup.compression import Undecodable, decompressed
from shippyard.backup.offsite.age import Identities, Recipients
from shippyard.backup.offsite.objects import (
    Kept,
    ObjectAbsent,
    ObjectExists,
    OffsiteFailed,
    Store,
)
from shippyard.backup.offsite.signed import HEADER_MAX_BYTES, Disbelieved, header_of, seal, unseal
from shippyard.backup.restore.physical import WalUnusable
from shippyard.backup.seal import Seal
from shippyard.backup.wal.names import PARTIAL, is_partial, is_wal
from shippyard.host.files import write_atomically

FOLDER = "wal"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


class WalCopies:
    """The WAL of one subject in one store. Offers what a recovery is fed from (`WalSource`)."""

    def __init__(
        self,
        store: Store,
        subject: str,
        seal_: Seal,
        recipients: Recipients,
        identities: Identities,
    ) -> None:
        self._store = store
        self._prefix = f"{subject}/{FOLDER}/"
        self._seal = seal_
        self._recipients = recipients
        self._identities = identities

    def put(self, name: str, file: Path) -> None:
        """Send one file, compressed by us or not, and read it back.

        What is there already with the same content is left as it is.

        Raises:
            OffsiteFailed: another content has that name, the file is damaged, or the store failed.
        """
        if not is_wal(name):
            raise OffsiteFailed(f"{name!r} is not a name of WAL", lasting=True)
        key, content = self._prefix + name, _content(file)
        sealed = seal(key, content, self._seal.signer, self._recipients)
        if is_partial(name):
            self._store.put(key, sealed)
        elif not self._put_new(key, sealed):
            return
        if self._store.get(key) != sealed:
            raise OffsiteFailed(f"{self._store.place}: {key} reads back as something else")
        if not is_partial(name):
            self._store.delete(key + PARTIAL)

    def segments(self) -> list[str]:
        """Names there are; a segment that is not whole under its full name, if nothing better is.

        Raises:
            OffsiteFailed: the store could not be asked.
        """
        return sorted({name.removesuffix(PARTIAL) for name in self.names()})

    def names(self) -> list[str]:
        """Every name as it is in the store.

        Raises:
            OffsiteFailed: the store could not be asked.
        """
        found = (each.key.removeprefix(self._prefix) for each in self._store.below(self._folder))
        return [name for name in found if is_wal(name)]

    def fetch(self, name: str, into: Path) -> bool:
        """Write a file to `into`, unpacked and proven; False when there is none of that name.

        Raises:
            WalUnusable: it is there and can't be believed.
            OffsiteFailed: the store failed, or we have none of the keys.
        """
        for key in (self._prefix + name, self._prefix + name + PARTIAL):
            try:
                data = self._store.get(key)
            except ObjectAbsent:
                continue
            try:
                content = unseal(data, key, self._seal.trusted, self._identities)
            except OffsiteFailed as error:
                if error.lasting:
                    raise
                raise WalUnusable(str(error)) from None
            write_atomically(into, content)
            return True
        return False

    def delete(self, name: str) -> Kept | None:
        """Take a file away; `Kept` when the store must keep it.

        Raises:
            OffsiteFailed: it could not be deleted.
        """
        return self._store.delete(self._prefix + name)

    @property
    def _folder(self) -> str:
        return self._prefix.rstrip("/")

    def _put_new(self, key: str, sealed: bytes) -> bool:
        """False when the very content is there already."""
        if self._is_there(key, sealed):
            return False
        try:
            self._store.put(key, sealed, only_new=True)
        except ObjectExists:
            return not self._is_there(key, sealed)
        return True

    def _is_there(self, key: str, sealed: bytes) -> bool:
        ours = header_of(sealed, key, self._seal.trusted)
        try:
            first = self._store.get(key, first_bytes=HEADER_MAX_BYTES)
            theirs = header_of(first, key, self._seal.trusted)
        except ObjectAbsent:
            return False
        except Disbelieved as error:
            raise OffsiteFailed(f"{self._store.place}: {error}; move it away") from None
        if theirs.sha256 != ours.sha256:
            raise OffsiteFailed(
                f"{self._store.place}: {key} is there with another content, and stays; give each "
                "server a prefix of its own in backup.offsite.url",
                lasting=True,
            )
        return True


def _content(file: Path) -> bytes:
    """What the file holds, unpacked if we packed it."""
    try:
        with file.open("rb") as opened:
            is_packed = opened.read(len(_ZSTD_MAGIC)) == _ZSTD_MAGIC
        if not is_packed:
            return file.read_bytes()
        with decompressed(file) as stream:
            return stream.read()
    except Undecodable as error:
        raise OffsiteFailed(f"{file} is damaged: {error}", lasting=True) from None
    except OSError as error:
        raise OffsiteFailed(f"{file} can't be read: {error.strerror}") from None
