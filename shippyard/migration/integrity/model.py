"""Owns what integrity is said in: what was seen of a database, and what became of it.

Plain values. Knows nothing of how they are read, nor of how they are judged.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from shippyard.migration.said import Said
from shippyard.migration.wrote import Wrote

Verdict = Literal["ok", "damaged", "unknown"]
Key = tuple[str, ...]


@dataclass(frozen=True)
class SampledRow:
    """One row: the transaction that wrote this version of it, and a hash of each column's text."""

    xmin: str
    hashes: tuple[int | None, ...]


@dataclass(frozen=True)
class TableSeen:
    """What was seen of one table. `rows` is exact, or None where counting takes too long.

    `columns` name the hashes, with their number in the table and their type. `updated` and
    `deleted` are the server's counts of all sessions, ever. `why_not` says why nothing was seen.
    """

    oid: int
    key: tuple[str, ...]
    columns: Mapping[str, tuple[int, str]]
    file: int
    empty: bool
    rows: int | None
    estimate: int
    updated: int
    deleted: int
    sample: Mapping[Key, SampledRow]
    why_not: str = ""

    @property
    def has_key(self) -> bool:
        """Whether a row can be found again after it was changed."""
        return bool(self.key)


@dataclass(frozen=True)
class SequenceSeen:
    """Where a sequence stands, and the highest value in its column; None when not known."""

    last: int | None
    highest: int | None


@dataclass(frozen=True)
class Snapshot:
    """A database at one moment. `unseen` are tables that there was no time for."""

    at: str | None
    objects: Mapping[str, str]
    rights: Mapping[str, str]
    tables: Mapping[str, TableSeen]
    sequences: Mapping[str, SequenceSeen]
    unseen: tuple[str, ...] = ()


@dataclass(frozen=True)
class Changes:
    """What a run is expected to change: what its plan says, and what its transactions wrote.

    `unread` are revisions whose SQL nobody could read before they ran.
    """

    at: str | None
    said: tuple[Said, ...] = ()
    unread: tuple[str, ...] = ()
    wrote: Wrote | None = None


@dataclass(frozen=True)
class Integrity:
    """`looked` is how many rows of each table were compared."""

    verdict: Verdict
    findings: tuple[str, ...] = ()
    looked: Mapping[str, int] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "verdict": self.verdict,
            "findings": list(self.findings),
            "looked": dict(self.looked),
        }
