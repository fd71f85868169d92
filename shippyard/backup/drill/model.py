"""Owns what a drill is, how one ends, and which backup it takes. Pure."""

import random
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from shippyard.backup.drill.forecast import PHASES, Past
from shippyard.backup.model import Backup, Kind

DrillReason = Literal["schedule", "manual", "rehearsal"]
DrillOutcome = Literal["running", "passed", "failed", "interrupted"]
Document = Mapping[str, Any]


class DrillFailed(Exception):
    """The backup did not come back as it was; one line."""


class DrillInterrupted(Exception):
    """Nothing was found out: the drill was ended before it could tell."""


class DrillRefused(Exception):
    """There is nothing to drill, or a drill runs already; one line that says what to do."""


@dataclass(frozen=True)
class Drill:
    """One restore of a backup into a sandbox, and what came of it.

    `database` is the backup's subject. `rto_s` is the time to a database that reads and writes,
    checks left out; both losses are None when they could not be measured.
    """

    id: str
    backup_id: str
    database: str
    kind: Kind
    reason: DrillReason
    started_at: datetime
    outcome: DrillOutcome
    finished_at: datetime | None = None
    rto_s: float | None = None
    rpo_cluster_s: float | None = None
    rpo_machine_s: float | None = None
    size_bytes: int | None = None
    report: dict[str, Any] = field(default_factory=dict)
    error: str | None = None

    @property
    def is_told(self) -> bool:
        """True when it found something out."""
        return self.outcome in ("passed", "failed")


@dataclass(frozen=True)
class Look:
    """One thing that was compared after a restore; `problems` is empty when it was right."""

    what: str
    problems: tuple[str, ...] = ()
    detail: str = ""


@dataclass
class Findings:
    """What a drill gathers while it goes on."""

    phases: dict[str, float] = field(default_factory=dict)
    looks: list[Look] = field(default_factory=list)
    differs: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    size_bytes: int = 0
    wal_bytes: int = 0
    restored_until: datetime | None = None

    @property
    def rto_s(self) -> float:
        """Seconds until the database read and wrote."""
        return sum(seconds for phase, seconds in self.phases.items() if phase in PHASES)

    @property
    def problems(self) -> list[str]:
        """Everything that was not right."""
        return [problem for look in self.looks for problem in look.problems]

    def report(self) -> dict[str, Any]:
        """What is kept, in JSON's words."""
        until = self.restored_until
        return {
            "phases": {name: round(seconds, 3) for name, seconds in self.phases.items()},
            "looks": [
                {"what": each.what, "problems": list(each.problems), "detail": each.detail}
                for each in self.looks
            ],
            "differs": self.differs,
            "notes": self.notes,
            "size_bytes": self.size_bytes,
            "wal_bytes": self.wal_bytes,
            "restored_until": until.isoformat() if until else None,
        }


def new_drill_id(now: datetime) -> str:
    """A name that sorts by time, and seeds what is left to chance in the drill."""
    return f"{now:%Y%m%dT%H%M%SZ}-drill-{secrets.token_hex(3)}"


def choose_older(backups: Sequence[Backup], drill_id: str) -> Backup | None:
    """One that is not the newest, by chance; the same again for the same id. `backups` count."""
    older = sorted(backups, key=lambda backup: (backup.started_at, backup.id))[:-1]
    return random.Random(drill_id).choice(older) if older else None  # noqa: S311  not for secrets


def past_of(drill: Drill) -> Past:
    """What a drill that passed says of the next one."""
    report = drill.report
    return Past(
        dict(report.get("phases", {})),
        int(report.get("size_bytes", 0)),
        int(report.get("wal_bytes", 0)),
    )
