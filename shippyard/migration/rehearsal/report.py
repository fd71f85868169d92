"""Owns what a rehearsal found out: locks, rewrites, timings of each way, and whether it comes back.

Plain values that survive JSON. Knows nothing of how they were measured or of who reads them.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

Way = Literal["up", "down", "again"]
Kind = Literal["expand", "contract", "data_losing", "breaking", "irreversible"]
Passed = Literal["passed", "failed", "blocked", "interrupted"]

TIMES = frozenset({"held_ms", "reads_ms", "writes_ms", "elapsed_ms", "elapsed_s", "gaps"})
UNBOUND = frozenset({"id", "started_at", "finished_at", "revision_elapsed_s", "phases"})


@dataclass(frozen=True)
class LockHeld:
    """One lock, from when it was granted to the end of its transaction.

    `relation` is a table, a materialized view, a view or an index: `public.users`.
    """

    mode: str
    relation: str
    held_ms: float
    revision: str | None = None


@dataclass(frozen=True)
class Blocked:
    """The longest uninterrupted time in which a reader and a writer would have waited."""

    relation: str
    reads_ms: float
    writes_ms: float


@dataclass(frozen=True)
class Statement:
    """One statement on one line, at most 500 characters of it."""

    text: str
    elapsed_ms: float
    rows: int
    revision: str | None = None


@dataclass(frozen=True)
class Recorded:
    """What was recorded while revisions went one way.

    `gaps` counts looks at the locks that came more than 10 ms after the one before.
    """

    locks: tuple[LockHeld, ...] = ()
    blocked: tuple[Blocked, ...] = ()
    rewrites: tuple[str, ...] = ()
    scans: tuple[str, ...] = ()
    statements: tuple[Statement, ...] = ()
    wal_bytes: int = 0
    growth_bytes: int = 0
    elapsed_s: float = 0.0
    gaps: int = 0


@dataclass(frozen=True)
class Passage:
    """One way through the plan's revisions; `error` is None when it went through."""

    way: Way
    recorded: Recorded
    kinds: tuple[Kind, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class Report:
    """One rehearsal. `losses` is data that did not come back, one line each.

    `schema_differences` are those after the way back, `slower` the top statements that take at
    least twice as long, `differs` what was not as in production, `unproven` what could not be
    compared in the time there was, `changed` columns whose values the way up wrote over.
    """

    id: str
    database: str
    content_hash: str
    from_revision: str | None
    to_revision: str
    fingerprint: str
    system_identifier: str
    backup_id: str
    tools: str
    started_at: datetime
    finished_at: datetime
    outcome: Passed
    error: str | None
    passages: tuple[Passage, ...]
    schema_differences: tuple[str, ...]
    losses: tuple[str, ...]
    slower: tuple[str, ...]
    revision_elapsed_s: Mapping[str, float]
    size_bytes: int
    differs: tuple[str, ...]
    phases: Mapping[str, float]
    unproven: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    @property
    def comes_back(self) -> bool:
        """Schema and data are proven to come back, and it can go up again."""
        went = {passage.way for passage in self.passages if passage.error is None}
        proven = self.outcome == "passed" and {"up", "down", "again"} <= went
        return proven and not (self.schema_differences or self.losses or self.unproven)

    @property
    def growth_bytes(self) -> int:
        """The most disk that any passage took, its WAL included."""
        each = (p.recorded.growth_bytes + p.recorded.wal_bytes for p in self.passages)
        return max(each, default=0)

    @property
    def report_hash(self) -> str:
        """What approvals bind: everything but ids, times and durations."""
        bound = _timeless({k: v for k, v in self.document().items() if k not in UNBOUND})
        return hashlib.sha256(json.dumps(bound, sort_keys=True).encode()).hexdigest()

    def document(self) -> dict[str, Any]:
        """As JSON."""
        times = {"started_at": self.started_at, "finished_at": self.finished_at}
        return asdict(self) | {name: at.isoformat() for name, at in times.items()}

    @classmethod
    def from_document(cls, found: Mapping[str, Any]) -> "Report":
        """What `document` gave, read again."""
        lists = ("schema_differences", "losses", "slower", "differs", "unproven", "changed")
        times = ("started_at", "finished_at")
        return cls(
            **{
                **found,
                **{name: tuple(found.get(name, ())) for name in lists},
                **{name: datetime.fromisoformat(found[name]) for name in times},
                "passages": tuple(_passage(each) for each in found["passages"]),
            }
        )


def _passage(found: Mapping[str, Any]) -> Passage:
    recorded = found["recorded"]
    parts = {
        **recorded,
        "locks": tuple(LockHeld(**each) for each in recorded["locks"]),
        "blocked": tuple(Blocked(**each) for each in recorded["blocked"]),
        "statements": tuple(Statement(**each) for each in recorded["statements"]),
        "rewrites": tuple(recorded["rewrites"]),
        "scans": tuple(recorded["scans"]),
    }
    return Passage(found["way"], Recorded(**parts), tuple(found["kinds"]), found["error"])


def _timeless(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _timeless(each) for name, each in value.items() if name not in TIMES}
    return [_timeless(each) for each in value] if isinstance(value, list | tuple) else value
