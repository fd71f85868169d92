"""Owns the audit: an append-only chain in which each entry's hash covers the one before.

A changed, removed or inserted entry breaks the chain. One that was cut at its end, or made anew as
a whole, is seen by its anchor: the head after each entry, in a file beside the database. The log
and the copies of our memory off the machine have the heads too.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from shippyard.host.clock import Clock
from shippyard.state.database import State
from shippyard.state.tables import audit

GENESIS = "0" * 64
ANCHORED = re.compile(r"(\d+) ([0-9a-f]{64})")
ENTRIES_MAX = 1000


@dataclass(frozen=True)
class AuditReport:
    """What `verify` found; `head` is the last entry's hash, no `problems` means all is well.

    `anchored` is how many entries the anchor has a head of; without any of those that there are,
    nobody can say whether the chain is the one that was written.
    """

    entries: int
    head: str
    problems: tuple[str, ...]
    anchored: int = 0


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

    def __init__(self, state: State, clock: Clock, anchor: Path | None = None) -> None:
        """`anchor` is the file of heads; without one the chain alone is kept."""
        self._state = state
        self._clock = clock
        self._anchor = anchor

    def record(self, actor: str, action: str, subject: str, detail: Mapping[str, Any]) -> str:
        """Append one entry and give its hash, the chain's new head."""
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
        self._drop_anchor(seq + 1, head)
        return head

    def entries(self, *, since: int = 0, limit: int = ENTRIES_MAX) -> list[Entry]:
        """Entries after number `since`, oldest first."""
        query = select(audit).where(audit.c.seq > since).order_by(audit.c.seq).limit(limit)
        with self._state.read() as connection:
            return [
                Entry(r.seq, r.at, r.actor, r.action, r.subject, r.detail, r.hash)
                for r in connection.execute(query)
            ]

    def verify(self) -> AuditReport:
        """Walk the whole chain from its start."""
        previous, count, problems = GENESIS, 0, []
        heads: dict[int, str] = {}
        with self._state.read() as connection:
            for row in connection.execute(select(audit).order_by(audit.c.seq)):
                count += 1
                problems += _problems_of(row, count, previous)
                previous = heads[row.seq] = row.hash
        anchors = self._anchors()
        problems += _not_as_anchored(heads, anchors)
        if count and self._anchor and not anchors:
            problems.append(f"{self._anchor} is gone: nobody can say whether this is the chain")
        return AuditReport(count, previous, tuple(problems), len(anchors))

    def _drop_anchor(self, seq: int, head: str) -> None:
        if self._anchor is None:
            return
        with self._anchor.open("ab") as file:
            file.write(f"{seq} {head}\n".encode())
            file.flush()
            os.fsync(file.fileno())

    def _anchors(self) -> dict[int, str]:
        if self._anchor is None or not self._anchor.exists():
            return {}
        # a crash may have left half of the last line
        lines = map(ANCHORED.fullmatch, self._anchor.read_text().splitlines())
        return {int(line[1]): line[2] for line in lines if line}


def _last(connection: Connection) -> tuple[int, str]:
    row = connection.execute(
        select(audit.c.seq, audit.c.hash).order_by(audit.c.seq.desc()).limit(1)
    ).first()
    return (row.seq, row.hash) if row else (0, GENESIS)


def _not_as_anchored(heads: Mapping[int, str], anchors: Mapping[int, str]) -> Iterator[str]:
    for seq, head in anchors.items():
        if seq not in heads:
            yield f"entry {seq} was written and is not there"
        elif heads[seq] != head:
            yield f"entry {seq} is not the one that was written"


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
