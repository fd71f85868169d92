"""Owns joining the parts that keep backups: taken, watched, copied away, restored, drilled.

They know each other by Protocols only; what they find wrong is handed out by `tell`. What is
joined here knows nothing of health, migrations or pages.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from shippyard.backup import methods as backup_methods
from shippyard.backup import schedule as backup_schedule
from shippyard.backup.catalog import Catalog
from shippyard.backup.drill import methods as drill_methods
from shippyard.backup.drill import schedule as drill_schedule
from shippyard.backup.drill.service import Drills
from shippyard.backup.layout import Layout
from shippyard.backup.offsite import methods as offsite_methods
from shippyard.backup.offsite.service import OffsiteCopies
from shippyard.backup.seal import seal_of
from shippyard.backup.service import BackupService
from shippyard.backup.state_snapshot import StateSnapshots
from shippyard.backup.survey import Survey
from shippyard.backup.wal import methods as wal_methods
from shippyard.backup.wal.bases import KeptBases
from shippyard.backup.wal.watch import WalWatch
from shippyard.config.models import Config
from shippyard.control.method import Method
from shippyard.safekeeping.away import Reached, copies_of, offsite_of, snapshots_of
from shippyard.safekeeping.ground import CalendarJob, Ground, Job, Service
from shippyard.safekeeping.restoring import drills_of, restore_methods_of
from shippyard.safekeeping.wal import KeptWal
from shippyard.safekeeping.watches import canaries_of, lateness_of, loss_watch_of, stranger_watch_of


@dataclass(frozen=True)
class Safekeeping:
    """The parts, joined and not started."""

    backups: BackupService
    drills: Drills
    copies: OffsiteCopies | None
    survey: Survey
    watches: Sequence[WalWatch]
    snapshots: StateSnapshots
    services: Sequence[Service]
    jobs: Sequence[CalendarJob]
    methods: Sequence[Method]

    def recover(self) -> None:
        """At start: end what drills a dead daemon left."""
        self.drills.recover()

    def forget_metrics(self, subjects: Collection[str]) -> None:
        """Show nothing more of subjects that left the configuration."""
        self.backups.forget_metrics(subjects)
        self.drills.forget_metrics(subjects)
        if self.copies:
            self.copies.forget_metrics(subjects)
        for watch in self.watches:
            if watch.subject in subjects:
                watch.forget()


def join(ground: Ground) -> Safekeeping:
    """Every part of the backup room.

    Raises:
        SecretMissing, KeyUnusable, BadPlace, BadKey: a credential, key or place can't be used.
        OSError: a new signing key can't be kept.
    """
    config = ground.config
    seal = seal_of(config)
    backups = BackupService(
        config,
        ground.targets,
        processes=ground.processes,
        state=ground.state,
        metrics=ground.metrics,
        clock=ground.clock,
        tell=ground.tell,
    )
    offsite = offsite_of(ground, seal)
    own = offsite_of(ground, seal)  # copies close theirs when they stop
    copies = copies_of(ground, own, backups, seal) if own else None
    bases = KeptBases(Catalog(ground.state), Layout(config.backup.dir), seal)
    wal = KeptWal(ground, offsite, bases)
    drills = drills_of(ground, offsite, backups, wal)
    snapshots = snapshots_of(ground, offsite)
    services: list[Service] = [
        *([Reached(offsite)] if offsite else []),
        backups,
        *wal.services,
        *([copies] if copies else []),
        *canaries_of(ground),
        loss_watch_of(ground, backups, wal, drills),
        lateness_of(ground, drills),
        stranger_watch_of(ground, seal),
    ]
    jobs: list[CalendarJob] = [
        *backup_schedule.jobs(backups, config),
        *drill_schedule.jobs(drills, config),
        *_housekeeping(config, wal, backups, snapshots),
    ]
    methods = [
        *backup_methods.build(backups),
        *drill_methods.build(drills),
        *offsite_methods.build(copies),
        *wal_methods.build(wal.watches),
        *restore_methods_of(ground, drills, seal, offsite),
    ]
    survey = Survey(
        config,
        backups=backups,
        drills=drills,
        copies=copies,
        place=offsite.place if offsite else None,
        arrivals=wal.arrivals,
        clock=ground.clock,
    )
    return Safekeeping(
        backups, drills, copies, survey, wal.watches, snapshots, services, jobs, methods
    )


def _housekeeping(
    config: Config, wal: KeptWal, backups: BackupService, snapshots: StateSnapshots
) -> Iterator[Job]:
    """What goes with retention: WAL that nothing needs, and the daemon's own memory kept."""
    schedule = config.backup.prune_schedule
    if not schedule:
        return
    if wal.watches:
        yield Job("backup.wal_prune", schedule, lambda: wal.prune(backups.frozen()))
    yield Job("backup.state", schedule, partial(_snapshot, snapshots))


def _snapshot(snapshots: StateSnapshots) -> str:
    return snapshots.take().name
