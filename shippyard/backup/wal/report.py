"""Owns how what is wrong with a cluster's WAL is said: one condition, the worst first. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from shippyard.backup.model import subject_of_cluster
from shippyard.backup.wal.gaps import Settled
from shippyard.backup.wal.presence import Looked
from shippyard.backup.wal.scan import BasePosition, Gap, ScanReport, is_behind
from shippyard.telemetry.condition import Condition

SHOWN = 5
WORDS = {
    "missing": "missing",
    "short": "short",
    "different": "damaged",
    "slot_lost": "lost with the slot",
}


@dataclass(frozen=True)
class Trouble:
    """What is wrong with arriving WAL, in a clause; None when nothing is."""

    line: str | None
    pages: bool = False


class Scan(Protocol):
    """What the last look at everything found."""

    @property
    def looked(self) -> Looked:
        """What is there."""
        ...

    @property
    def report(self) -> ScanReport:
        """What is not."""
        ...

    @property
    def settled(self) -> Settled:
        """Which of it matters."""
        ...

    @property
    def bases(self) -> tuple[BasePosition, ...]:
        """What recovery begins from."""
        ...


def gap_condition(cluster: str, last: Scan, troubles: Sequence[Trouble]) -> Condition:
    """The one condition of rule wal_gap for a cluster.

    It pages while the newest base backup can't be brought up to now.
    """
    size = last.looked.holdings.segment_bytes
    clauses = [_gaps(last.settled.open, size)] if last.settled.open else []
    clauses.extend(f"{name} is {_word(why)}" for name, why in sorted(last.looked.others.items()))
    clauses.extend(f"timeline {t} has no history file" for t in last.report.without_history)
    clauses.extend(trouble.line for trouble in troubles if trouble.line)
    pages = any(trouble.pages for trouble in troubles) or any(
        _matters_now(gap, last.bases) for gap in last.settled.open
    )
    evidence: dict[str, Any] = {
        "gaps": [
            {"why": gap.why, "timeline": gap.timeline, "segments": gap.names(size)}
            for gap in last.settled.open
        ]
    }
    summary = f"WAL of {cluster}: {'; '.join(clauses)}" if clauses else None
    return Condition(
        "wal_gap", subject_of_cluster(cluster), summary, "page" if pages else "ticket", evidence
    )


def _gaps(gaps: Sequence[Gap], segment_bytes: int) -> str:
    said = [f"{_range(gap, segment_bytes)} {_word(gap.why)}" for gap in gaps[:SHOWN]]
    more = f" and {len(gaps) - SHOWN} more" if len(gaps) > SHOWN else ""
    return (
        f"{', '.join(said)}{more}: nothing behind can be recovered from what is before; "
        "take a base backup"
    )


def _range(gap: Gap, segment_bytes: int) -> str:
    names = gap.names(segment_bytes)
    return names[0] if gap.first == gap.last else f"{names[0]} to {names[-1]}"


def _matters_now(gap: Gap, bases: Sequence[BasePosition]) -> bool:
    return not any(is_behind(gap, base) for base in bases)


def _word(why: str) -> str:
    return WORDS.get(why, why)
