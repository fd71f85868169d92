"""Owns asking every part of the backup room how its subjects stand. Changes nothing.

What it means, and what is worst, is `overview`'s business.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from shippyard.backup.drill.model import Drill
from shippyard.backup.drill.objectives import Objective, strictest
from shippyard.backup.drill.watch import held_until
from shippyard.backup.layout import Layout
from shippyard.backup.model import Backup, Kind, kinds_of, subject_of_cluster
from shippyard.backup.offsite.copies import CopyRecord
from shippyard.backup.overview import (
    CopiesKept,
    Loss,
    Lost,
    Overview,
    Proven,
    document,
    main_kind,
)
from shippyard.backup.wal.standing import WalStanding
from shippyard.config.models import Config
from shippyard.host.clock import Clock
from shippyard.postgres.session import one_line


class Backups(Protocol):
    """What is known of backups."""

    def history(self, subject: str | None = None) -> list[Backup]:
        """Every attempt that is remembered, newest first."""
        ...

    def frozen(self) -> str | None:
        """Why retention deletes nothing, or None."""
        ...


class Drills(Protocol):
    """What is known of drills."""

    def subjects(self) -> list[str]:
        """Databases, then clusters."""
        ...

    def last(self, subject: str, kind: Kind) -> Drill | None:
        """The newest drill that found something out, or None."""
        ...

    def forecast_now(self, subject: str, kind: Kind) -> float | None:
        """Seconds to restore the newest backup of a kind, or None."""
        ...


class Copies(Protocol):
    """What is known of copies off the machine."""

    def records(self) -> list[CopyRecord]:
        """Every copy there is or was, newest backup first."""
        ...

    def waiting(self) -> list[Backup]:
        """Backups that want a copy and have none yet."""
        ...


class Arrivals(Protocol):
    """What is known of arriving WAL."""

    def standing(self, subject: str) -> WalStanding | None:
        """How a cluster's WAL stands; OSError when it can't be looked at."""
        ...


@dataclass(frozen=True)
class _Away:
    """Copies off the machine, read once for all subjects."""

    records: Sequence[CopyRecord]
    waiting: Sequence[Backup]


class Survey:
    """Looks at every subject of a configuration. Safe from any thread."""

    def __init__(
        self,
        config: Config,
        *,
        backups: Backups,
        drills: Drills,
        copies: Copies | None,
        place: str | None,
        arrivals: Arrivals,
        clock: Clock,
    ) -> None:
        """`place` is where copies go, without secrets."""
        self._config = config
        self._backups = backups
        self._drills = drills
        self._copies = copies
        self._place = place
        self._arrivals = arrivals
        self._clock = clock
        self._layout = Layout(config.backup.dir)
        self._clusters = {d.name: subject_of_cluster(d.cluster) for d in config.databases}

    def describe(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        now = self._clock.now()
        return {
            "frozen": self._backups.frozen(),
            "place": self._place,
            "subjects": [document(each, now) for each in self.look(now)],
        }

    def look(self, now: datetime) -> list[Overview]:
        """Every subject: databases, then clusters."""
        away = _Away(self._copies.records(), self._copies.waiting()) if self._copies else None
        return [self._overview(subject, away, now) for subject in self._drills.subjects()]

    def _overview(self, subject: str, away: _Away | None, now: datetime) -> Overview:
        cluster = self._clusters.get(subject, subject)
        wal = self._wal(cluster)
        history = self._counted(subject)
        return Overview(
            subject,
            self._objective(subject),
            {kind: _newest(history, kind) for kind in kinds_of(subject)},
            self._loss(subject, cluster, wal, now),
            wal if subject == cluster else None,
            {kind: self._proven(subject, kind) for kind in kinds_of(subject)},
            _kept(subject, away) if away and not self._is_kept_elsewhere(subject) else None,
            self._unseen(subject, history),
        )

    def _counted(self, subject: str) -> list[Backup]:
        return [backup for backup in self._backups.history(subject) if backup.counts]

    def _unseen(self, subject: str, history: Sequence[Backup]) -> str | None:
        return self._layout.unseen(subject) if history else None

    def _wal(self, cluster: str) -> WalStanding | None:
        try:
            return self._arrivals.standing(cluster)
        except OSError as error:
            return WalStanding("unknown", trouble=f"it can't be looked at: {one_line(error)}")

    def _loss(self, subject: str, cluster: str, wal: WalStanding | None, now: datetime) -> Loss:
        bases = self._counted(cluster)
        dumps = [backup for backup in self._counted(subject) if backup.kind == "dump"]
        held = held_until(
            dumps,
            bases,
            wal.received_until if wal else None,
            wal.shipped_until if wal else None,
        )
        here, away = _unknown(wal, bases, shipping=self._copies is not None)
        elsewhere = subject == cluster and self._is_kept_elsewhere(cluster)
        return Loss(
            None if here else _lost(held.cluster, now),
            None if away or elsewhere else _lost(held.machine, now),
        )

    def _objective(self, subject: str) -> Objective:
        return strictest(
            each.criticality
            for each in self._config.databases
            if subject in (each.name, self._clusters[each.name])
        )

    def _is_kept_elsewhere(self, subject: str) -> bool:
        """Whether another engine looks after its backups, copies included."""
        settings = self._config.backup.clusters.get(subject.removeprefix("@"))
        return subject.startswith("@") and settings is not None and settings.engine != "postgres"

    def _proven(self, subject: str, kind: Kind) -> Proven:
        return Proven(self._drills.last(subject, kind), self._drills.forecast_now(subject, kind))


def _unknown(
    wal: WalStanding | None, bases: Sequence[Backup], *, shipping: bool
) -> tuple[bool, bool]:
    """Whether WAL that comes reaches further than anybody knows yet, here and off the machine."""
    if wal is None or wal.state == "not begun":
        return False, False
    away = shipping and any(base.replicated_at for base in bases)
    return bool(bases) and wal.received_until is None, away and wal.shipped_until is None


def _newest(counted: Sequence[Backup], kind: Kind) -> Backup | None:
    return next((backup for backup in counted if backup.kind == kind), None)


def _kept(subject: str, away: _Away) -> CopiesKept:
    mine = [record for record in away.records if record.database == subject]
    verified = [r for r in mine if r.state == "verified" and r.kind == main_kind(subject)]
    waiting = [backup.id for backup in away.waiting if backup.database == subject]
    errors: Mapping[str, str | None] = {record.backup_id: record.error for record in mine}
    return CopiesKept(
        next(iter(verified), None),
        len(waiting),
        next((error for each in waiting if (error := errors.get(each))), None),
    )


def _lost(until: datetime | None, now: datetime) -> Lost:
    return max(0.0, (now - until).total_seconds()) if until else "all"
