"""Owns the audit: an append-only chain in which each entry's hash covers the one before.

A changed, removed or inserted entry breaks the chain. One that was cut at its end, or made anew as
a whole, is seen by its anchor: signed heads in files beside the database. The log and the copies of
our memory off the machine have the heads too.
"""

import hashlib
import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, insert, select
from sqlalchemy.exc import SQLAlchemyError

from shippyard.host.clock import Clock
from shippyard.migration.anchor import Anchor, Anchored
from shippyard.state.database import State
from shippyard.state.tables import audit

GENESIS = "0" * 64
ENTRIES_MAX = 1000

_recording = threading.Lock()
"""Heads are written in the order of their entries, also while a reload has two audits."""


@dataclass(frozen=True)
class AuditReport:
    """What `verify` found; `head` is the last entry's hash, no `problems` means all is well.

    `anchored` is how many entries the anchor has a head of. `unknown` says why nobody can tell
    whether the chain is the one that was written.
    """

    entries: int
    head: str
    problems: tuple[str, ...]
    anchored: int = 0
    unknown: str | None = None

    @property
    def verdict(self) -> Literal["whole", "meddled", "unknown"]:
        """What it comes to."""
        if self.problems:
            return "meddled"
        return "unknown" if self.unknown else "whole"


@dataclass(frozen=True)
class Entry:
    """One thing that somebody did."""

    seq: int
    at: datetime
    actor: str
    action: str
    subject: str
    detail: Mapping[str, Any]
    hash: str

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "at": self.at.isoformat()}


class Audit:
    """Writes and checks the chain. Safe from any thread."""

    def __init__(self, state: State, clock: Clock, anchor: Anchor | None = None) -> None:
        """`anchor` keeps the heads; without one the chain alone is kept."""
        self._state = state
        self._clock = clock
        self._anchor = anchor

    def record(self, actor: str, action: str, subject: str, detail: Mapping[str, Any]) -> str:
        """Append one entry and give its hash, the chain's new head."""
        with _recording:
            seq, head = self._append(actor, action, subject, detail)
            if self._anchor:
                self._anchor.committed(seq, head)
        return head

    def _append(
        self, actor: str, action: str, subject: str, detail: Mapping[str, Any]
    ) -> tuple[int, str]:
        with self._state.write() as connection:
            seq, previous = _last(connection)
            entry = {
                "seq": seq + 1,
                "at": self._clock.now(),
                "actor": actor,
                "action": action,
                "subject": subject,
                "detail": dict(detail),
                "previous_hash": previous,
            }
            head = _hash_of(entry)
            connection.execute(insert(audit).values(**entry, hash=head))
            if self._anchor:
                self._anchor.announce(seq + 1, head)
        return seq + 1, head

    def entries(self, *, since: int = 0, limit: int = ENTRIES_MAX) -> list[Entry]:
        """Entries after number `since`, oldest first."""
        query = select(audit).where(audit.c.seq > since).order_by(audit.c.seq).limit(limit)
        with self._state.read() as connection:
            return [
                Entry(r.seq, r.at, r.actor, r.action, r.subject, r.detail, r.hash)
                for r in connection.execute(query)
            ]

    def head(self) -> str | None:
        """The newest entry's number and hash, in a word; None when it can't be read now."""
        try:
            with self._state.read() as connection:
                seq, head = _last(connection)
        except (SQLAlchemyError, sqlite3.Error):
            return None
        return f"{seq}:{head}"

    def verify(self) -> AuditReport:
        """Walk the whole chain from its start."""
        previous, count, problems = GENESIS, 0, []
        heads: dict[int, str] = {}
        with self._state.read() as connection:
            for row in connection.execute(select(audit).order_by(audit.c.seq)):
                count += 1
                problems += _problems_of(row, count, previous)
                previous = heads[row.seq] = row.hash
        if self._anchor is None or not (heads or self._anchor.is_there):
            return AuditReport(count, previous, tuple(problems))
        anchored = self._anchor.read()
        if anchored.gone:
            unknown = f"{anchored.gone} is gone: nobody can say whether this is the chain"
            return AuditReport(count, previous, (*problems, *anchored.problems), 0, unknown)
        problems += [*anchored.problems, *_not_as_anchored(heads, anchored)]
        return AuditReport(count, previous, tuple(problems), len(heads.keys() & anchored.heads))


def _last(connection: Connection) -> tuple[int, str]:
    row = connection.execute(
        select(audit.c.seq, audit.c.hash).order_by(audit.c.seq.desc()).limit(1)
    ).first()
    return (row.seq, row.hash) if row else (0, GENESIS)


def _not_as_anchored(heads: Mapping[int, str], anchored: Anchored) -> Iterator[str]:
    for seq, head in heads.items():
        if head not in anchored.heads.get(seq, frozenset()):
            yield f"entry {seq} is not the one that was written"
    newest = anchored.newest or 0
    for seq in range(1, newest + 1):
        if seq not in heads:
            yield f"entry {seq} was written and is not there"
    if newest in heads and heads[newest] != anchored.newest_head:
        yield f"entry {newest} is not the newest one that was written"


def _problems_of(row: Row[Any], expected_seq: int, previous: str) -> list[str]:
    entry = {name: value for name, value in row._mapping.items() if name != "hash"}  # noqa: SLF001  SQLAlchemy's public name for a row as a mapping
    problems = []
    if row.seq != expected_seq:
        problems.append(f"entry {expected_seq} is missing")
    if row.previous_hash != previous:
        problems.append(f"entry {row.seq} does not follow the one before it")
    if row.hash != _hash_of(entry):
        problems.append(f"entry {row.seq} was changed")
    return problems


def _hash_of(entry: Mapping[str, Any]) -> str:
    at = entry["at"]
    assert isinstance(at, datetime)
    canonical = {**entry, "at": at.isoformat(timespec="microseconds")}
    return hashlib.sha256(json.dumps(canonical, sort_keys=True).encode()).hexdigest()
