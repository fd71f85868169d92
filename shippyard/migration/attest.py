"""Owns a daemon's signed word that a plan's content ran in its environment, and whose word counts.

A word is one JSON file: what ran, where, when, over how much data, and an Ed25519 signature. It is
read again, signature and all, each time that it is asked for: what lies in the state is no proof.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

from shippyard.config.base import Environment
from shippyard.host.signing import (
    KeyUnknown,
    Signature,
    SignatureInvalid,
    Signer,
    check,
    key_id_of,
)
from shippyard.migration.facts import Attested
from shippyard.migration.journal import Run

FORMAT = 1
BYTES_MAX = 16 * 1024
TEXT_MAX = 256
HOLDS_FOR = timedelta(days=30)
AHEAD_MAX = timedelta(minutes=5)
"""How far another machine's clock may be ahead of ours."""

PURPOSE = b"shippyard attestation 1\n"
"""Stands before what is signed, so that the key's signature of anything else fits nothing here."""

ENVELOPE = frozenset({"format", "record", "public_key", "signature"})


class WordRefused(Exception):
    """A word that does not count here; one line that says why, and what to do."""


@dataclass(frozen=True)
class Record:
    """What a daemon says: this content ran in my environment, over `data_bytes` of data."""

    content_hash: str
    environment: str
    database: str
    from_revision: str | None
    to_revision: str
    run_id: str
    finished_at: datetime
    expires_at: datetime
    data_bytes: int | None
    rehearsal_hash: str | None

    def document(self) -> dict[str, Any]:
        """As JSON."""
        times = {"finished_at": self.finished_at, "expires_at": self.expires_at}
        return asdict(self) | {name: at.isoformat() for name, at in times.items()}


@dataclass(frozen=True)
class Word:
    """A record that somebody signed; `public_key` is theirs, and was checked."""

    record: Record
    public_key: str
    envelope: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The same for the same record of the same key, however often it is brought."""
        signed = self.public_key.encode() + _signed_bytes(self.envelope["record"])
        return hashlib.sha256(signed).hexdigest()

    @property
    def attested(self) -> Attested:
        """What a gate asks of it."""
        said = self.record
        return Attested(
            said.content_hash,
            said.environment,
            said.finished_at,
            said.expires_at,
            key_id_of(self.public_key),
        )

    def to_bytes(self) -> bytes:
        """The file that is carried to another daemon."""
        return json.dumps(self.envelope, indent=2, sort_keys=True).encode() + b"\n"


@dataclass(frozen=True)
class Here:
    """Whom a word is brought to: its environment, databases, own key, and the keys it believes."""

    environment: Environment
    databases: Collection[str]
    public_key: str
    trusted: Collection[str]


def record_of(
    run: Run, environment: Environment, *, data_bytes: int | None, rehearsal_hash: str | None
) -> Record:
    """What is to be said of a run that got to its end."""
    assert run.finished_at is not None, "only a finished run is spoken of"
    return Record(
        content_hash=run.content_hash,
        environment=environment,
        database=run.database,
        from_revision=run.from_revision,
        to_revision=run.to_revision,
        run_id=run.id,
        finished_at=run.finished_at,
        expires_at=run.finished_at + HOLDS_FOR,
        data_bytes=data_bytes,
        rehearsal_hash=rehearsal_hash,
    )


def signed(record: Record, signer: Signer) -> Word:
    """Our word."""
    said = record.document()
    made = signer.sign(_signed_bytes(said))
    envelope = {"format": FORMAT, "record": said, **asdict(made)}
    return Word(record, made.public_key, envelope)


def read_word(data: bytes, here: Here, now: datetime) -> Word:
    """Another daemon's word, when it counts here.

    Raises:
        WordRefused: too large, malformed, forged, by a key that is not configured, expired, of a
            database that is not guarded here, or said by this daemon or in this environment.
    """
    if len(data) > BYTES_MAX:
        raise WordRefused(f"it is larger than {BYTES_MAX} bytes: no word of a daemon's is")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise WordRefused("it is not JSON; bring the file that `attest export` wrote") from None
    word = believed(found, here.trusted)
    _refuse_elsewhere(word, here, now)
    return word


def believed(found: Any, trusted: Collection[str]) -> Word:
    """A word in JSON that one of the `trusted` keys signed just so.

    Raises:
        WordRefused: malformed, forged, or by another key.
    """
    if not isinstance(found, dict) or set(found) != ENVELOPE or found["format"] != FORMAT:
        raise WordRefused(f"it is no word of format {FORMAT}; export it again with this version")
    public_key, signature = found["public_key"], found["signature"]
    if not isinstance(public_key, str) or not isinstance(signature, str):
        raise WordRefused("its signature is no text")
    record = _record(found["record"])
    try:
        check(_signed_bytes(found["record"]), Signature(public_key, signature), trusted)
    except KeyUnknown as error:
        raise WordRefused(
            f"signed by key {key_id_of(error.public_key)}, whose word does not count here; "
            f'if it should: migration.staging_keys = ["{error.public_key}"]'
        ) from None
    except SignatureInvalid as error:
        raise WordRefused(f"forged or changed: {error}") from None
    return Word(record, public_key, found)


def _refuse_elsewhere(word: Word, here: Here, now: datetime) -> None:
    said = word.record
    if word.public_key == here.public_key:
        raise WordRefused("this daemon signed it itself; another environment's word is needed")
    if said.environment == here.environment:
        raise WordRefused(f"it ran in {said.environment}, which is this environment")
    if said.database not in here.databases:
        raise WordRefused(f"it is of database {said.database!r}, which is not guarded here")
    if said.finished_at > now + AHEAD_MAX:
        raise WordRefused(f"it ran at {said.finished_at:%Y-%m-%d %H:%M} UTC, which is yet to come")
    if said.expires_at <= now:
        raise WordRefused(f"it expired at {said.expires_at:%Y-%m-%d %H:%M} UTC; run it there again")


def _record(found: Any) -> Record:
    if not isinstance(found, dict) or set(found) != {each.name for each in fields(Record)}:
        raise WordRefused("its record has not the fields of one; export it again")
    texts = ("content_hash", "environment", "database", "to_revision", "run_id")
    may_lack = ("from_revision", "rehearsal_hash")
    for name in (*texts, *may_lack):
        if not _is_text(found[name]) and not (name in may_lack and found[name] is None):
            raise WordRefused(f"its {name} is no text of at most {TEXT_MAX} characters")
    if found["environment"] not in get_args(Environment):
        raise WordRefused(f"there is no environment {found['environment']!r}")
    size = found["data_bytes"]
    if size is not None and (type(size) is not int or size < 0):
        raise WordRefused("its data_bytes is no size")
    times = {name: _time(found, name) for name in ("finished_at", "expires_at")}
    if not timedelta(0) < times["expires_at"] - times["finished_at"] <= HOLDS_FOR:
        raise WordRefused(f"it wants to hold for longer than {HOLDS_FOR.days} days after its run")
    return Record(**{**found, **times})


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= TEXT_MAX and value.isprintable()


def _time(found: Mapping[str, Any], name: str) -> datetime:
    try:
        at = datetime.fromisoformat(found[name])
    except (TypeError, ValueError):
        raise WordRefused(f"its {name} is no time") from None
    if at.tzinfo is None:
        raise WordRefused(f"its {name} has no time zone")
    return at.astimezone(UTC)


def _signed_bytes(record: Mapping[str, Any]) -> bytes:
    canonical = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return PURPOSE + canonical.encode()
