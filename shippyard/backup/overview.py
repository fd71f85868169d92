"""Owns how each subject's backups stand, on one page, and which of its problems is the worst. Pure.

What is unknown is None, and stays so: nothing here is taken for well because nobody knows better.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from shippyard.backup.drill.model import Drill
from shippyard.backup.drill.objectives import Objective, judge_time, said
from shippyard.backup.model import Backup, Kind, kinds_of
from shippyard.backup.offsite.copies import CopyRecord
from shippyard.backup.wal.standing import WalStanding

Lost = float | Literal["all"] | None
"""What would be lost: seconds, all there is because nothing could be brought back, or unknown."""


@dataclass(frozen=True)
class Loss:
    """What would be lost now with the cluster, and with the whole machine."""

    cluster: Lost
    machine: Lost


@dataclass(frozen=True)
class Proven:
    """Drills of one kind: the last that found something out, and what a restore would take now."""

    last: Drill | None
    forecast_s: float | None


@dataclass(frozen=True)
class CopiesKept:
    """Copies off the machine: the newest verified one of the main kind; how many wait, and why."""

    newest: CopyRecord | None
    waiting: int
    error: str | None


@dataclass(frozen=True)
class Overview:
    """One subject, a database or `@cluster`.

    `newest` has the newest verified backup of each kind it can have. `wal` is None where none is
    kept, `copies` where none are made: no place is named, or another engine looks after them.
    `unseen` is why its folder can't be read.
    """

    subject: str
    objective: Objective
    newest: Mapping[Kind, Backup | None]
    loss: Loss
    wal: WalStanding | None = None
    drills: Mapping[Kind, Proven] = field(default_factory=dict)
    copies: CopiesKept | None = None
    unseen: str | None = None

    @property
    def main_kind(self) -> Kind:
        """The kind that brings everything back."""
        return main_kind(self.subject)


def main_kind(subject: str) -> Kind:
    """The kind of a subject that brings everything back."""
    return kinds_of(subject)[0]


def problems_of(seen: Overview) -> list[str]:
    """What is wrong, the worst first: nothing to restore, then too much lost, then nothing proven.

    What to run follows a semicolon.
    """
    if seen.unseen:
        return [f"its backups can't be seen: {seen.unseen}; is it mounted?"]
    return [*_missing(seen), *_wal(seen), *_losses(seen), *_drills(seen), *_copies(seen)]


def _missing(seen: Overview) -> Iterator[str]:
    kind = seen.main_kind
    if seen.newest[kind] is None:
        yield f"no verified {kind}; run: shippyard ctl backup run {seen.subject} --kind {kind}"


def _wal(seen: Overview) -> Iterator[str]:
    if seen.wal is None:
        return
    if seen.wal.gaps:
        yield f"{seen.wal.gaps} gaps in its WAL; see: shippyard ctl backup timeline {seen.subject}"
    if seen.wal.trouble:
        yield f"WAL: {seen.wal.trouble}"


def _losses(seen: Overview) -> Iterator[str]:
    """Only what is over the promise: what may become so is told by the page on it."""
    lost = {"cluster": seen.loss.cluster, "machine": seen.loss.machine}
    for what, seconds in lost.items():
        if isinstance(seconds, float) and seconds > seen.objective.rpo_s:
            yield (
                f"losing the {what} now would lose {said(seconds)}, "
                f"at most {said(seen.objective.rpo_s)} is promised; "
                f"run: shippyard ctl backup run {seen.subject}"
            )


def _drills(seen: Overview) -> Iterator[str]:
    for kind, proven in seen.drills.items():
        last = proven.last
        if last and last.outcome == "failed":
            yield (
                f"the last drill of its {kind} failed: {last.error}; "
                f"see: shippyard ctl drill show {last.id}"
            )
        if slow := judge_time(proven.forecast_s, seen.objective):
            yield slow
        if last is None and seen.newest.get(kind):
            yield (
                f"its {kind} was never drilled; "
                f"run: shippyard ctl drill run {seen.subject} --kind {kind}"
            )


def _copies(seen: Overview) -> Iterator[str]:
    if seen.copies and seen.copies.error:
        yield (
            f"{seen.copies.waiting} wait to be copied off the machine: {seen.copies.error}; "
            "see: shippyard ctl backup copies"
        )


def document(seen: Overview, now: datetime) -> dict[str, Any]:
    """A subject in JSON's words: times in ISO, ages and lengths in seconds."""
    return {
        "subject": seen.subject,
        "main_kind": seen.main_kind,
        "objective": {"rpo_s": seen.objective.rpo_s, "rto_s": seen.objective.rto_s},
        "newest": {kind: _backup(backup, now) for kind, backup in seen.newest.items()},
        "loss": {"cluster": seen.loss.cluster, "machine": seen.loss.machine},
        "wal": _arriving(seen.wal) if seen.wal else None,
        "drills": {kind: _proven(proven, now) for kind, proven in seen.drills.items()},
        "copies": _kept(seen.copies, now) if seen.copies else None,
        "problems": problems_of(seen),
    }


def _backup(backup: Backup | None, now: datetime) -> dict[str, Any] | None:
    if backup is None:
        return None
    return {
        "id": backup.id,
        "state": backup.state,
        "started_at": backup.started_at.isoformat(),
        "age_s": _age_s(backup.started_at, now),
        "size_bytes": backup.size_bytes,
    }


def _arriving(wal: WalStanding) -> dict[str, Any]:
    return {
        "state": wal.state,
        "last_segment": wal.last_segment,
        "received_until": wal.received_until.isoformat() if wal.received_until else None,
        "shipped_until": wal.shipped_until.isoformat() if wal.shipped_until else None,
        "gaps": wal.gaps,
        "trouble": wal.trouble,
    }


def _proven(proven: Proven, now: datetime) -> dict[str, Any]:
    last = proven.last
    return {
        "id": last.id if last else None,
        "outcome": last.outcome if last else None,
        "age_s": _age_s(last.started_at, now) if last else None,
        "rto_s": last.rto_s if last else None,
        "forecast_s": proven.forecast_s,
        "error": last.error if last else None,
    }


def _kept(copies: CopiesKept, now: datetime) -> dict[str, Any]:
    newest = copies.newest
    return {
        "newest": newest.backup_id if newest else None,
        "age_s": _age_s(newest.started_at, now) if newest else None,
        "waiting": copies.waiting,
        "error": copies.error,
    }


def _age_s(at: datetime, now: datetime) -> float:
    return max(0.0, (now - at).total_seconds())
