"""Owns giving a rehearsal the newest verified backup, restored: that restore is a drill of it.

A base backup with its WAL is preferred: a dump has no bloat, and no index that is INVALID. What is
rehearsed is not known here.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from shippyard.backup.drill.bench import Progress, Work
from shippyard.backup.drill.model import DrillFailed, DrillInterrupted, DrillRefused
from shippyard.backup.drill.service import Drills
from shippyard.backup.model import Kind, subject_of_cluster
from shippyard.config.models import Database
from shippyard.postgres.target import Target

PREFERRED: tuple[Kind, ...] = ("base", "dump")


@dataclass(frozen=True)
class Restored:
    """What a drill restored, while its sandbox stands."""

    work: Work
    dbname: str

    @property
    def backup_id(self) -> str:
        """Which backup."""
        return self.work.backup.id

    @property
    def until(self) -> datetime | None:
        """Until when everything is in it."""
        return self.work.findings.restored_until

    @property
    def size_bytes(self) -> int:
        """How large the backup is."""
        return self.work.findings.size_bytes

    @property
    def differs(self) -> tuple[str, ...]:
        """What is not as in production."""
        return tuple(self.work.findings.differs)

    @property
    def phases(self) -> Mapping[str, float]:
        """Seconds that each step took."""
        return dict(self.work.findings.phases)

    @property
    def superuser(self) -> Target:
        """The restored database, as the role that may do everything."""
        return self.as_user(self.work.superuser)

    def as_user(self, user: str) -> Target:
        """The restored database, as one of its roles."""
        return self.work.sandbox.target(self.dbname, user)

    def must_stop(self) -> str | None:
        """Why it can't go on."""
        try:
            self.work.tick()
        except (DrillInterrupted, DrillFailed) as error:
            return str(error)
        return None


@dataclass(frozen=True)
class Restoration:
    """How it went: passed, failed, interrupted or refused."""

    outcome: str
    backup_id: str = ""
    error: str | None = None


class RestoredCopies:
    """The newest backup of each database, restored on demand; one at a time."""

    def __init__(self, drills: Drills, databases: Mapping[str, Database]) -> None:
        self._drills = drills
        self._databases = databases

    def on_newest(
        self,
        database: str,
        then: Callable[[Restored], None],
        *,
        progress: Progress,
    ) -> Restoration:
        """Restore, check, call `then`, throw away."""
        known = self._databases[database]
        found = self._newest(known)
        if found is None:
            said = f"no verified backup of {database}; run `shippyard ctl backup run {database}`"
            return Restoration("refused", "", said)

        def on_restored(work: Work) -> None:
            work.deadline = math.inf  # how long a rehearsal may take is not the drill's to say
            then(Restored(work, known.dbname))

        subject, kind = found
        try:
            drill = self._drills.run(
                subject, kind, "rehearsal", progress=progress, then=on_restored
            )
        except DrillRefused as error:
            return Restoration("refused", "", str(error))
        return Restoration(drill.outcome, drill.backup_id, drill.error)

    def _newest(self, database: Database) -> tuple[str, Kind] | None:
        subjects = {"base": subject_of_cluster(database.cluster), "dump": database.name}
        known = self._drills.subjects()
        for kind in PREFERRED:
            subject = subjects[kind]
            if subject in known and kind in self._drills.kinds(subject):
                return subject, kind
        return None
