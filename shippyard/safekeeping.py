"""Owns joining the parts that keep backups: taken, watched, copied away, restored, drilled.

They know each other by Protocols only; what they find wrong is handed out by `tell`. What is
joined here knows nothing of health, migrations or pages.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Protocol

from shippyard.backup import methods as backup_methods
from shippyard.backup import schedule as backup_schedule
from shippyard.backup.catalog import Catalog
from shippyard.backup.clockwatch import Clockwatch
from shippyard.backup.conditions import Tell
from shippyard.backup.drill import methods as drill_methods
from shippyard.backup.drill import schedule as drill_schedule
from shippyard.backup.drill.canary import Canary
from shippyard.backup.drill.service import Drills
from shippyard.backup.drill.watch import LossWatch
from shippyard.backup.engines.choice import repository_for
from shippyard.backup.lateness import Lateness
from shippyard.backup.layout import Layout
from shippyard.backup.manifest import Manifest
from shippyard.backup.model import subject_of_cluster
from shippyard.backup.offsite import methods as offsite_methods
from shippyard.backup.offsite.copies import Copies
from shippyard.backup.offsite.offsite import Offsite, open_offsite
from shippyard.backup.offsite.place import Place
from shippyard.backup.offsite.service import OffsiteCopies
from shippyard.backup.restore import methods as restore_methods
from shippyard.backup.restore.course import Means
from shippyard.backup.restore.dumps import IntoDatabase
from shippyard.backup.restore.files import IntoFolder
from shippyard.backup.restore.physical import WalSource
from shippyard.backup.restore.service import Restores
from shippyard.backup.restore.shelf import FolderShelf, Shelves
from shippyard.backup.restore.stores import StoreShelf
from shippyard.backup.seal import Seal, seal_of
from shippyard.backup.service import BackupService
from shippyard.backup.state_snapshot import StateSnapshots
from shippyard.backup.strangers import StrangerWatch
from shippyard.backup.survey import Survey
from shippyard.backup.wal import methods as wal_methods
from shippyard.backup.wal.archive import WalArchive
from shippyard.backup.wal.bases import KeptBases
from shippyard.backup.wal.pruning import prune_wal
from shippyard.backup.wal.ship import WalShip
from shippyard.backup.wal.watch import WalArrivals, WalWatch, Watched
from shippyard.config.models import ClusterBackup, Config, Database
from shippyard.control.method import Method
from shippyard.host.clock import Clock
from shippyard.host.process import Processes
from shippyard.postgres.target import Target, target_of
from shippyard.sandbox.local import LocalHost
from shippyard.state.database import FILE_NAME, State
from shippyard.state.notes import Notes
from shippyard.telemetry.metrics import Metrics

SANDBOX_FOLDER = ".sandbox"

Beats = Callable[[str], Callable[[], None]]
"""Gives a loop of this name what it must call each turn."""


class Service(Protocol):
    """Something that runs until stopped; stopping twice, or before starting, is fine."""

    def start(self) -> None:
        """Begin to work in the background."""
        ...

    def stop(self) -> None:
        """Stop soon."""
        ...


class CalendarJob(Protocol):
    """Work with a five-field crontab line in `backup.timezone`."""

    @property
    def name(self) -> str:
        """Unique among all jobs."""
        ...

    @property
    def schedule(self) -> str:
        """The crontab line."""
        ...

    @property
    def run(self) -> Callable[[], str]:
        """Does it; gives one line on what was done."""
        ...


@dataclass(frozen=True)
class _Job:
    name: str
    schedule: str
    run: Callable[[], str]


@dataclass(frozen=True)
class Ground:
    """What everything here stands on."""

    config: Config
    processes: Processes
    state: State
    metrics: Metrics
    clock: Clock
    tell: Tell
    beats: Beats

    @property
    def targets(self) -> Mapping[str, Target]:
        """How the backup role reaches each database."""
        return {each.name: target_of(each, each.backup) for each in self.config.databases}


@dataclass(frozen=True)
class Safekeeping:
    """The parts, joined and not started."""

    backups: BackupService
    drills: Drills
    copies: OffsiteCopies | None
    survey: Survey
    watches: Sequence[WalWatch]
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
    offsite = _offsite(ground, seal)
    own = _offsite(ground, seal)  # copies close theirs when they stop
    copies = _copies(ground, own, backups, seal) if own else None
    bases = KeptBases(Catalog(ground.state), Layout(config.backup.dir), seal)
    wal = _Wal(ground, offsite, bases)
    drills = _drills(ground, offsite, backups, wal)
    snapshots = _snapshots(ground, offsite)
    services: list[Service] = [
        *([_Reached(offsite)] if offsite else []),
        backups,
        *wal.services,
        *([copies] if copies else []),
        *_canaries(ground),
        _loss_watch(ground, backups, wal, drills),
        _lateness(ground, drills),
        _stranger_watch(ground, seal),
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
        *_restore_methods(ground, drills, seal, offsite),
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
    return Safekeeping(backups, drills, copies, survey, wal.watches, services, jobs, methods)


class _Reached:
    """A place off the machine, let go of when everything that uses it has stopped."""

    def __init__(self, offsite: Offsite) -> None:
        self._offsite = offsite

    def start(self) -> None:
        """Nothing to do: it is asked when it is needed."""

    def stop(self) -> None:
        """End what still runs there."""
        self._offsite.close()


class _Wal:
    """The WAL of every cluster that keeps some."""

    def __init__(self, ground: Ground, offsite: Offsite | None, bases: KeptBases) -> None:
        self._bases = bases
        self.watches: list[WalWatch] = []
        self.services: list[Service] = []
        for cluster, settings in ground.config.backup.clusters.items():
            if settings.wal != "off":
                self._add(ground, offsite, cluster, settings)
        self.arrivals = WalArrivals(self.watches)

    def source(self, subject: str) -> WalSource | None:
        """The WAL that is kept here of a cluster, by its subject."""
        return next((w.archive for w in self.watches if w.subject == subject), None)

    def prune(self, frozen: str | None) -> str:
        """Delete WAL that no base backup needs."""
        gone = 0
        for watch in self.watches:
            bases = self._bases(watch.subject)
            gone += len(prune_wal(watch.archive, bases, frozen=frozen, apply=True))
        return f"deleted {gone} WAL files"

    def _add(
        self, ground: Ground, offsite: Offsite | None, cluster: str, settings: ClusterBackup
    ) -> None:
        first = _first_of(ground.config, cluster)
        archive = WalArchive(ground.config.backup.dir, subject_of_cluster(cluster))
        ship = _ship(ground, archive, offsite, cluster) if offsite else None
        replication = target_of(first, settings.replication) if settings.replication else None
        watch = WalWatch(
            Watched(
                cluster,
                settings,
                ground.targets[first.name],
                replication,
                ground.config.backup.wal_scan_s,
            ),
            archive,
            bases=self._bases,
            state=ground.state,
            metrics=ground.metrics,
            clock=ground.clock,
            tell=ground.tell,
            beat=ground.beats(f"wal {cluster}"),
            ship=ship,
        )
        self.watches.append(watch)
        self.services += [watch, *([ship] if ship else [])]


def _ship(ground: Ground, archive: WalArchive, offsite: Offsite, cluster: str) -> WalShip:
    return WalShip(
        archive.subject,
        archive,
        offsite,
        every_s=ground.config.backup.wal_ship_s,
        metrics=ground.metrics,
        clock=ground.clock,
        beat=ground.beats(f"wal shipping {cluster}"),
    )


def _first_of(config: Config, cluster: str) -> Database:
    """The database through which a cluster's server is reached."""
    return next(each for each in config.databases if each.cluster == cluster)


def _offsite(ground: Ground, seal: Seal) -> Offsite | None:
    settings = ground.config.backup.offsite
    return open_offsite(settings, seal, ground.clock) if settings else None


def _copies(ground: Ground, offsite: Offsite, backups: BackupService, seal: Seal) -> OffsiteCopies:
    settings = ground.config.backup.offsite
    assert settings is not None, "there is a place only when config names one"
    beat = ground.beats("copies off the machine")
    copies = Copies(ground.state, offsite.place)
    place = Place(
        offsite,
        copies,
        backups,
        settings.keep,
        clock=ground.clock,
        look_at_clock=Clockwatch(Notes(ground.state)).look,
        beat=beat,
    )
    return OffsiteCopies(
        offsite,
        place,
        copies,
        backups,
        seal=seal,
        metrics=ground.metrics,
        clock=ground.clock,
        tell=ground.tell,
        beat=beat,
    )


def _drills(ground: Ground, offsite: Offsite | None, backups: BackupService, wal: _Wal) -> Drills:
    sandbox = LocalHost(
        ground.config.backup.sandbox,
        ground.processes,
        ground.clock,
        ground.config.backup.dir / SANDBOX_FOLDER,
    )
    return Drills(
        ground.config,
        processes=ground.processes,
        state=ground.state,
        metrics=ground.metrics,
        clock=ground.clock,
        tell=ground.tell,
        backups=backups,
        host=sandbox,
        wal_of=wal.source,
        offsite=offsite,
        targets=ground.targets,
        arrivals=wal.arrivals,
    )


def _canaries(ground: Ground) -> Iterator[Canary]:
    for cluster, settings in ground.config.backup.clusters.items():
        if settings.canary:
            target = target_of(_first_of(ground.config, cluster), settings.canary)
            beat = ground.beats(f"canary {cluster}")
            yield Canary(subject_of_cluster(cluster), target, ground.clock, beat)


def _loss_watch(ground: Ground, backups: BackupService, wal: _Wal, drills: Drills) -> LossWatch:
    return LossWatch(
        ground.config,
        backups=backups,
        arrivals=wal.arrivals,
        gauges=drills.gauges,
        clock=ground.clock,
        tell=ground.tell,
        beat=ground.beats("loss watch"),
    )


def _lateness(ground: Ground, drills: Drills) -> Lateness:
    return Lateness(
        ground.config,
        state=ground.state,
        clock=ground.clock,
        tell=ground.tell,
        last_drill=partial(_last_drill, drills),
        beat=ground.beats("lateness"),
    )


def _stranger_watch(ground: Ground, seal: Seal) -> StrangerWatch:
    return StrangerWatch(
        ground.config,
        Catalog(ground.state),
        seal,
        tell=ground.tell,
        beat=ground.beats("strangers"),
    )


def _last_drill(drills: Drills, subject: str) -> datetime | None:
    newest = drills.history(subject, limit=1)
    return newest[0].started_at if newest else None


def _snapshots(ground: Ground, offsite: Offsite | None) -> StateSnapshots:
    return StateSnapshots(
        ground.config.daemon.state_dir / FILE_NAME,
        ground.config.backup.dir,
        clock=ground.clock,
        metrics=ground.metrics,
        off_machine=(lambda: offsite.states) if offsite else None,
    )


def _housekeeping(
    config: Config, wal: _Wal, backups: BackupService, snapshots: StateSnapshots
) -> Iterator[_Job]:
    """What goes with retention: WAL that nothing needs, and the daemon's own memory kept."""
    schedule = config.backup.prune_schedule
    if not schedule:
        return
    if wal.watches:
        yield _Job("backup.wal_prune", schedule, lambda: wal.prune(backups.frozen()))
    yield _Job("backup.state", schedule, partial(_snapshot, snapshots))


def _snapshot(snapshots: StateSnapshots) -> str:
    return snapshots.take().name


def _restore_methods(
    ground: Ground, drills: Drills, seal: Seal, offsite: Offsite | None
) -> list[Method]:
    config = ground.config
    here = FolderShelf(config.backup.dir, seal.trusted)
    means = Means(
        shelf=Shelves([here, StoreShelf(offsite)]) if offsite else here,
        place=str(config.backup.dir),
        processes=ground.processes,
        clock=ground.clock,
        jobs=config.backup.dump.jobs,
        timeout_s=config.backup.timeout_s,
        digest_timeout_s=config.backup.dump.digest_timeout_s,
        tools_dirs=config.tools_dirs,
        repository_of=lambda subject: repository_for(subject, config, ground.processes),
        forecast=partial(_forecast, drills),
    )
    return restore_methods.build(
        Restores(means, ground.tell),
        config,
        {each.name: target_of(each, each.migrator or each.backup) for each in config.databases},
        into_database=lambda target: IntoDatabase(target, means),
        into_folder=lambda folder: IntoFolder(folder, means),
    )


def _forecast(drills: Drills, manifest: Manifest) -> float | None:
    return drills.forecast(manifest.database, manifest.kind, manifest.size_bytes)
