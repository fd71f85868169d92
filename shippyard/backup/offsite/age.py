"""Owns encryption to age keys: https://age-encryption.org, so that `age -d` opens it as well.

Whoever sends needs public keys (recipients) alone; the private one (identity) is for restoring. A
key's id is a short hash of its public half, which may be shown to anyone.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import pyrage

from shippyard.backup.offsite.objects import OffsiteFailed
from shippyard.host.secrets import SecretMissing, read_secret, remember

KEY_ID_CHARS = 16


class BadKey(Exception):
    """Not an age key; the message says where it stands, and never what it is."""


class KeyLost(OffsiteFailed):
    """None of our identities opens it; names the keys of which one is needed."""


@dataclass(frozen=True)
class Recipients:
    """Who may read what leaves the machine; nobody means that it leaves as it is."""

    key_ids: tuple[str, ...] = ()
    _keys: tuple[pyrage.x25519.Recipient, ...] = field(default=(), repr=False)

    def __bool__(self) -> bool:
        return bool(self.key_ids)

    def encrypt(self, data: bytes) -> bytes:
        """The data for the recipients, or unchanged when there are none."""
        return bytes(pyrage.encrypt(data, list(self._keys))) if self._keys else data


@dataclass(frozen=True)
class Keyring:
    """Private keys."""

    key_ids: tuple[str, ...] = ()
    keys: tuple[pyrage.x25519.Identity, ...] = field(default=(), repr=False)


class Identities:
    """The private keys in a credential, read when first needed: copying never needs them."""

    def __init__(self, credential: str | None = None) -> None:
        self._credential = credential

    def decrypt(self, data: bytes, key_ids: Sequence[str], what: str) -> bytes:
        """What was encrypted to `key_ids`; unchanged when that is nobody.

        Raises:
            KeyLost: we have none of these keys.
            OffsiteFailed: it is damaged.
        """
        if not key_ids:
            return data
        if not set(key_ids) & set(self._keyring.key_ids):
            raise KeyLost(_needed(key_ids, what), lasting=True)
        try:
            return bytes(pyrage.decrypt(data, list(self._keyring.keys)))
        except pyrage.DecryptError:
            raise OffsiteFailed(f"{what} can't be decrypted: it was changed or cut") from None

    @cached_property
    def _keyring(self) -> Keyring:
        if self._credential is None:
            return Keyring()
        try:
            return keyring_of(read_secret(self._credential), self._credential)
        except (SecretMissing, BadKey) as error:
            raise KeyLost(str(error), lasting=True) from None


def recipients_of(public_keys: Iterable[str]) -> Recipients:
    """The recipients that config names.

    Raises:
        BadKey: one is no age public key.
    """
    texts = tuple(dict.fromkeys(public_keys))
    try:
        keys = tuple(pyrage.x25519.Recipient.from_str(text) for text in texts)
    except pyrage.RecipientError:
        raise BadKey(
            "backup.offsite.recipients holds something that is no age public key (age1…); "
            "make a pair with `age-keygen`"
        ) from None
    return Recipients(tuple(key_id_of(text) for text in texts), keys)


def keyring_of(text: str, where: str) -> Keyring:
    """Private keys as `age-keygen` writes them: one a line, comments left out.

    Raises:
        BadKey: a line is something else.
    """
    lines = [line.strip() for line in text.splitlines()]
    secrets = [line for line in lines if line and not line.startswith("#")]
    for secret in secrets:
        remember(secret)
    try:
        keys = tuple(pyrage.x25519.Identity.from_str(secret) for secret in secrets)
    except pyrage.IdentityError:
        raise BadKey(f"credential {where!r} holds something that is no age private key") from None
    return Keyring(tuple(key_id_of(str(key.to_public())) for key in keys), keys)


def key_id_of(public_key: str) -> str:
    """The short name of an age public key."""
    return hashlib.sha256(public_key.encode()).hexdigest()[:KEY_ID_CHARS]


def _needed(key_ids: Sequence[str], what: str) -> str:
    one_of = "one of the age keys" if len(key_ids) > 1 else "age key"
    return (
        f"{what} is encrypted: it needs the private half of {one_of} {', '.join(key_ids)}; "
        "put it into the credential that backup.offsite.identity_credential names"
    )
