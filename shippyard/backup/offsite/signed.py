"""Owns small signed documents and sealed objects: what is in a store says who put it there.

A sealed object is one line of signed JSON (what it is, its hashes, for which keys) and then the
content: zstd, inside age when there are recipients. So `tail -n +2 F | age -d -i KEY | zstd -d`
gives it back without us.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import zstandard

from shippyard.backup.offsite.age import Identities, Recipients
from shippyard.backup.offsite.objects import OffsiteFailed
from shippyard.host.signing import Signature, SignatureInvalid, Signer, check

HEADER_MAX_BYTES = 8 * 1024
LEVEL = 3
LARGEST_BYTES = 4 * 1024**3
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


class Disbelieved(OffsiteFailed):
    """Not signed by one we trust, or changed since; one line."""


@dataclass(frozen=True)
class Header:
    """What the first line of a sealed object says."""

    name: str
    size_bytes: int
    sha256: str
    """Of the content, unpacked and decrypted."""
    stored_sha256: str
    key_ids: tuple[str, ...]


def signed(document: Mapping[str, Any], signer: Signer) -> bytes:
    """The document and our signature, as one line of JSON."""
    signature = signer.sign(_canonical(document))
    return json.dumps({"document": document, "signed": asdict(signature)}).encode() + b"\n"


def believed(data: bytes, trusted: Collection[str], what: str) -> dict[str, Any]:
    """The document, when a trusted key signed exactly this one.

    Raises:
        Disbelieved: it did not.
    """
    try:
        envelope = json.loads(data)
        document, said = envelope["document"], envelope["signed"]
        signature = Signature(str(said["public_key"]), str(said["signature"]))
        check(_canonical(document), signature, trusted)
        return dict(document)
    except SignatureInvalid as error:
        raise Disbelieved(f"{what} can't be trusted: {error}") from None
    except (ValueError, KeyError, TypeError):
        raise Disbelieved(f"{what} is no signed document") from None


def seal(name: str, content: bytes, signer: Signer, recipients: Recipients) -> bytes:
    """An object that holds `content`, and says that it is `name`."""
    stored = recipients.encrypt(_compress(content))
    header = Header(name, len(content), _hash(content), _hash(stored), recipients.key_ids)
    return signed(asdict(header), signer) + stored


def header_of(data: bytes, name: str, trusted: Collection[str]) -> Header:
    """What a sealed object says of itself; its first bytes are enough.

    Raises:
        Disbelieved: not one of ours, or the one of another name.
    """
    line = data[:HEADER_MAX_BYTES].split(b"\n", 1)[0]
    document = believed(line, trusted, name)
    try:
        header = Header(**(document | {"key_ids": tuple(document["key_ids"])}))
    except (TypeError, KeyError):
        raise Disbelieved(f"{name} is no sealed object") from None
    if header.name != name:
        raise Disbelieved(f"{name} holds what belongs to {header.name}")
    return header


def unseal(data: bytes, name: str, trusted: Collection[str], identities: Identities) -> bytes:
    """The content, proven against its hashes.

    Raises:
        Disbelieved: not signed by one we trust.
        KeyLost: we have none of its keys.
        OffsiteFailed: damaged.
    """
    header = header_of(data, name, trusted)
    stored = data.partition(b"\n")[2]
    if _hash(stored) != header.stored_sha256:
        raise OffsiteFailed(f"{name} was changed or cut since it was stored")
    content = _decompress(identities.decrypt(stored, header.key_ids, name), header)
    if _hash(content) != header.sha256:
        raise OffsiteFailed(f"{name} does not hold what it says")
    return content


def _compress(content: bytes) -> bytes:
    """What is compressed already gains nothing, and is packed again all the same: one format."""
    level = 1 if content.startswith(_ZSTD_MAGIC) else LEVEL
    return zstandard.ZstdCompressor(level=level, write_checksum=True).compress(content)


def _decompress(packed: bytes, header: Header) -> bytes:
    if not 0 <= header.size_bytes <= LARGEST_BYTES:
        raise OffsiteFailed(f"{header.name} says that it is {header.size_bytes} bytes")
    try:
        # The frame's own size can't be more than what was signed: nothing unpacks without bound.
        if zstandard.frame_content_size(packed) != header.size_bytes:
            raise OffsiteFailed(f"{header.name} does not hold what it says")
        return zstandard.ZstdDecompressor().decompress(packed)
    except zstandard.ZstdError as error:
        raise OffsiteFailed(f"{header.name} can't be unpacked: {error}") from None


def _canonical(document: Mapping[str, Any]) -> bytes:
    """What is signed: the same document always gives the same bytes."""
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
