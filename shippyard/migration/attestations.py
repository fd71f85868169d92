"""Owns the table `attestations`: our own words on what ran here, and others' that were brought.

What it gives to the gates it checks anew: a key that is no longer configured, and a row that
somebody wrote past us, count for nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import insert, select

from shippyard.config.base import Environment
from shippyard.host.clock import Clock
from shippyard.host.signing import Signer, key_id_of
from shippyard.migration.attest import (
    Here,
    Word,
    WordRefused,
    believed,
    read_word,
    record_of,
    signed,
)
from shippyard.migration.audit import Audit
from shippyard.migration.facts import Attested
from shippyard.migration.journal import Journal, Run
from shippyard.postgres.session import one_line, session
from shippyard.postgres.target import Target
from shippyard.state.database import State
from shippyard.state.tables import attestations

LISTED_MAX = 1000
SIZE_SQL = "SELECT pg_catalog.pg_database_size(pg_catalog.current_database()) AS bytes"

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Attestations:
    """Gives and takes words. Safe from any thread. `here` says whose count."""

    state: State
    clock: Clock
    audit: Audit
    journal: Journal
    signer: Signer
    here: Here

    def ran(self, run: Run, target: Target, rehearsal_hash: str | None) -> None:
        """A run got to its end: give our word on it, unless this is production.

        Trouble with that is logged, and changes nothing about the run.
        """
        if self.here.environment == "production" or run.way != "up":
            return
        try:
            size = _size_of(target)
            said = record_of(
                run, self.here.environment, data_bytes=size, rehearsal_hash=rehearsal_hash
            )
            self._keep(signed(said, self.signer))
        except Exception as error:  # noqa: BLE001  the run is done whatever becomes of its word
            log.warning("migration.not_attested", run=run.id, error=one_line(error))

    def export(self, run_id: str | None = None) -> Word:
        """Our word on a run, of the newest that has one when none is named.

        Raises:
            WordRefused: there is none, or the run was taken back since.
        """
        own = [self.signer.public_key]
        for word in self._words(own):
            run = self.journal.find(word.record.run_id)
            if run_id not in (None, word.record.run_id) or run is None:
                continue
            if run.state == "done":
                return word
            if run_id:
                raise WordRefused(f"run {run_id} is {run.state}: there is no word on it any more")
        if self.here.environment == "production":
            raise WordRefused("production gives no word; export it where it ran before")
        raise WordRefused(
            f"there is no word on {'run ' + run_id if run_id else 'any run'}: it is given when one "
            "is done; see `shippyard ctl migrate history`"
        )

    def import_(self, data: bytes, by: str) -> Word:
        """Take another daemon's word; taking it twice is fine.

        Raises:
            WordRefused: it does not count here.
        """
        word = read_word(data, self.here, self.clock.now())
        if self._keep(word):
            said = word.record
            self.audit.record(
                by,
                "attest.imported",
                said.database,
                {
                    "word": word.id,
                    "content_hash": said.content_hash,
                    "environment": said.environment,
                    "key": key_id_of(word.public_key),
                },
            )
        return word

    def attested(self, database: str) -> tuple[Attested, ...]:
        """What others said of a database of this name, by keys whose word counts now."""
        return tuple(
            word.attested
            for word in self._words([*self.here.trusted])
            if word.record.database == database
            and word.record.environment != self.here.environment
            and word.public_key != self.here.public_key
        )

    def _words(self, trusted: list[str]) -> Iterator[Word]:
        """Newest first; only what is signed as it stands there."""
        newest = select(attestations.c.envelope).order_by(attestations.c.received_at.desc())
        with self.state.read() as connection:
            found = list(connection.execute(newest.limit(LISTED_MAX)).scalars())
        for envelope in found:
            try:
                yield believed(envelope, trusted)
            except WordRefused:
                continue

    def _keep(self, word: Word) -> bool:
        """False when it was there."""
        said = word.record
        with self.state.write() as connection:
            there = select(attestations.c.id).where(attestations.c.id == word.id)
            if connection.execute(there).first():
                return False
            connection.execute(
                insert(attestations).values(
                    id=word.id,
                    content_hash=said.content_hash,
                    environment=said.environment,
                    key_id=key_id_of(word.public_key),
                    received_at=self.clock.now(),
                    expires_at=said.expires_at,
                    envelope=dict(word.envelope),
                )
            )
        return True


def here_of(
    environment: Environment, databases: frozenset[str], signer: Signer, trusted: tuple[str, ...]
) -> Here:
    """Whom words are brought to; no daemon believes itself, though it be configured."""
    return Here(environment, databases, signer.public_key, frozenset(trusted) - {signer.public_key})


def _size_of(target: Target) -> int | None:
    with session(target, "migrate-attest") as opened:
        found: dict[str, Any] = dict(opened.query(SIZE_SQL)[0])
    return int(found["bytes"])
