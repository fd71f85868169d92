"""Owns the audit: an append-only chain in which each entry's hash covers the one before.

A changed, removed or inserted entry breaks the chain. A chain cut at its end is seen only by
comparing its head, which is why `record` returns it and the log carries it.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from shippyard.host.clock import Clock
from shippyard.state.database import State
from shippyard.state.tables import audit

GENESIS = "0" * 64


@dataclass(frozen=True)
class AuditReport:
    """What `verify` found; `head` is the last entry's hash, no `problems` means all is well."""

    entries: int
    head: str
    problems: tuple[str, ...]


class Audit:
    """Writes and checks the chain."""

    def __init__(self, state: State, clock: Clock) -> None:
        self._state = state
        self._clock = clock

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
        return head

    def verify(self) -> AuditReport:
        """Walk the whole chain from its start."""
        previous, count, problems = GENESIS, 0, []
        with self._state.read() as connection:
            for row in connection.execute(select(audit).order_by(audit.c.seq)):
                count += 1
                problems += _problems_of(row, count, previous)
                previous = row.hash
        return AuditReport(count, previous, tuple(problems))


def _last(connection: Connection) -> tuple[int, str]:
    row = connection.execute(
        select(audit.c.seq, audit.c.hash).order_by(audit.c.seq.desc()).limit(1)
    ).first()
    return (row.seq, row.hash) if row else (0, GENESIS)


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
