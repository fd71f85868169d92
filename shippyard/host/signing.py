"""Owns Ed25519 keys: reading or making our own, signing bytes, and checking others' signatures.

Knows nothing of what is signed. A private key is 32 bytes in base64, from a credential or a file
of ours; it is remembered as a secret, and never leaves this file.
"""

import base64
import binascii
import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from shippyard.host.files import write_atomically
from shippyard.host.secrets import read_secret, remember

KEYS_FOLDER = "keys"
"""Where in the daemon's state folder a key of this machine's own lies."""

KEY_FILE = "signing.key"
KEY_BYTES = 32
KEY_ID_CHARS = 16

log = structlog.get_logger(__name__)


class KeyUnusable(Exception):
    """A key is not one of ours: the message says which, and what one looks like."""


class SignatureInvalid(Exception):
    """What was signed is not what is here, or nobody we trust signed it."""


class KeyUnknown(SignatureInvalid):
    """The signature holds, but its key is not among those that are trusted."""

    def __init__(self, public_key: str) -> None:
        super().__init__(
            f"signed by key {key_id_of(public_key)}, which is not trusted here; "
            f'if it is yours, name it: backup.trusted_keys = ["{public_key}"]'
        )
        self.public_key = public_key


@dataclass(frozen=True)
class Signature:
    """Who signed, by public key (base64), and the signature itself (base64)."""

    public_key: str
    signature: str


@dataclass(frozen=True)
class Signer:
    """A key pair. `public_key` is base64 and may be shown to anyone."""

    _private: Ed25519PrivateKey = field(repr=False)

    @property
    def public_key(self) -> str:
        """What others need in order to check our signatures."""
        return _text(self._private.public_key().public_bytes_raw())

    @property
    def key_id(self) -> str:
        """A short name of the public key, for people."""
        return key_id_of(self.public_key)

    def sign(self, data: bytes) -> Signature:
        """Our signature of `data`."""
        return Signature(self.public_key, _text(self._private.sign(data)))


def key_id_of(public_key: str) -> str:
    """The short name of a public key."""
    return hashlib.sha256(_bytes(public_key, "public key")).hexdigest()[:KEY_ID_CHARS]


def signer_of(credential: str | None, state_dir: Path) -> Signer:
    """The daemon's key: of its credential, else one of this machine's own, made when missing.

    Raises:
        SecretMissing, KeyUnusable: the key can't be read.
        OSError: a new key can't be kept.
    """
    if credential:
        return signer_from_credential(credential)
    folder = state_dir / KEYS_FOLDER
    is_new = not (folder / KEY_FILE).exists()
    signer = signer_in(folder)
    if is_new:
        log.warning("backup.signing_key_made", path=str(folder), key=signer.key_id)
    return signer


def signer_from_credential(name: str) -> Signer:
    """The key in a credential.

    Raises:
        SecretMissing: it can't be read.
        KeyUnusable: it is no Ed25519 key.
    """
    return _signer(read_secret(name), f"credential {name!r}")


def signer_in(folder: Path) -> Signer:
    """The key in `folder`, made there when there is none.

    Raises:
        KeyUnusable: the file holds something else.
        OSError: it can't be read or written.
    """
    file = folder / KEY_FILE
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomically(file, _text(Ed25519PrivateKey.generate().private_bytes_raw()).encode())
    return _signer(file.read_text().strip(), str(file))


def check(data: bytes, signed: Signature, trusted: Collection[str]) -> None:
    """Nothing, when one of the `trusted` public keys signed exactly `data`.

    Raises:
        KeyUnknown: another one did.
        SignatureInvalid: nobody did.
    """
    try:
        key = Ed25519PublicKey.from_public_bytes(_bytes(signed.public_key, "public key"))
        key.verify(_bytes(signed.signature, "signature"), data)
    except (InvalidSignature, KeyUnusable, ValueError):
        raise SignatureInvalid("the signature does not fit the content") from None
    if signed.public_key not in trusted:
        raise KeyUnknown(signed.public_key)


def _signer(text: str, where: str) -> Signer:
    remember(text)
    key = _bytes(text, where)
    if len(key) != KEY_BYTES:
        raise KeyUnusable(f"{where} holds {len(key)} bytes; an Ed25519 key is {KEY_BYTES}")
    return Signer(Ed25519PrivateKey.from_private_bytes(key))


def _bytes(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise KeyUnusable(f"{what} is not base64") from None


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
