"""Owns what the rest of the daemon may ask of backups: take, find, verify, prune, recover.

Keeps the backup metrics true and tells whether each subject's backups succeed. Schedules, sockets
and alerts are joined on from outside.
"""

import threading
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from shippyard.backup.catalog import Catalog
from shippyard.backup.clockwatch import Clockwatch
from shippyard.backup.engines.choice import EngineFor, Parent, engine_for
from shippyard.backup.engines.engine import Engine
from shippyard.backup.events import Events
from shippyard.backup.gauges import Gauges
from shippyard.backup.job import take_backup
from shippyard.backup.layout import Layout
from shippyard.backup.manifest import Event, Manifest
from shippyard.backup.model import (
    OPERATOR,
    Backup,
    BackupFailed,
    Kind,
    Published,
    Reason,
    new_id,
    published_facts,
)
from shippyard.backup.orphans import Orphans
from shippyard.backup.pruning import Pruned, Pruning
from shippyard.backup.readers import reader_of
from shippyard.backup.rebuild import Found, Rebuild
from shippyard.backup.reconcile import Reconciled, notice, reconcile
from shippyard.backup.records import Records
from shippyard.backup.seal import seal_of
from shippyard.backup.secondlook import SecondLook, Verified
from shippyard.backup.subjects import Subjects
from shippyard.backup.teller import Teller
from shippyard.backup.turns import BackupBusy, Order, Progress, Workshop
from shippyard.config.models import Config
from shippyard.host.clock import Clock
from shippyard.host.process import Processes
from shippyard.postgres.session import one_line
from shippyard.postgres.target import Target
from shippyard.state.database import State
from shippyard.state.notes import Notes
from shippyard.telemetry.condition import Tell
from shippyard.telemetry.metrics import Metrics


class BackupService(Records):
    """The backups of one configuration: of its databases, and of its clusters as `@cluster`.

    Safe to use from any thread. As a service it ends what a dead daemon left on the servers;
    stopping twice, or before starting, is fine. What runs is ended by `processes`.
    """

    def __init__(
        self,
        config: Config,
        targets: Mapping[str, Target],
        *,
        processes: Processes,
        state: State,
        metrics: Metrics,
        clock: Clock,
        tell: Tell = lambda _: None,
        engines: EngineFor = engine_for,
    ) -> None:
        """`targets` says how the backup role reaches each database, by its name in config."""
        super().__init__(Catalog(state), Layout(config.backup.dir), seal_of(config))
        self._config = config
        self._clock = clock
        self._engines = engines
        self._subjects = Subjects(config, targets)
        self._shop = Workshop(config, self._layout, self._catalog, self._seal, processes, clock)
        self._events = Events(self._catalog, self._layout, self._seal, clock)
        self._rebuild = Rebuild(self._catalog, self._layout, self._seal, Notes(state))
        self._gauges = Gauges(metrics, self._catalog, self._subjects.kinds)
        self._teller = Teller(
            config, self._catalog, self._gauges, tell, stopping=lambda: processes.stopping
        )
        self._pruning = Pruning(
            self._shop, self._subjects, self._gauges, Clockwatch(Notes(state)), self.frozen
        )
        self._second_look = SecondLook(
            catalog=self._catalog,
            layout=self._layout,
            seal=self._seal,
            events=self._events,
            clock=clock,
            engine_of=self._decoder,
        )
        self._orphans = Orphans(self._layout, self._subjects.places())
        self._running: dict[str, str] = {}
        self._stopping = threading.Event()

    def start(self) -> None:
        """Begin to end what backups of a dead daemon left running on the servers."""
        self._orphans.start()

    def stop(self) -> None:
        """Do nothing more by itself, and let nobody wait."""
        self._stopping.set()
        self._orphans.stop()

    def pause(self, seconds: float) -> bool:
        """Wait, for those who try again; true at once when this service stops."""
        return self._stopping.wait(seconds)

    def recover(self) -> Reconciled:
        """At start: make catalog and disk agree, then say in metrics what there is."""
        done = reconcile(self._catalog, self._layout, self._seal)
        self._rebuild.freeze(done.unknown, self._clock.now())
        self.refresh_metrics()
        return done

    def run(
        self,
        subject: str,
        kind: Kind,
        reason: Reason,
        *,
        held_by: str | None = None,
        progress: Progress = lambda _: None,
        incremental: bool = False,
    ) -> Backup:
        """Take one backup and prove it.

        Raises:
            BackupBusy: one of this subject and kind is being made already, or a migration runs.
            BackupFailed: it did not succeed; one line, without secrets.
        """
        now = self._clock.now()
        planned = Backup(new_id(kind, now), subject, kind, "planned", reason, now, held_by=held_by)
        order = self._order(planned, incremental=incremental)
        try:
            backup = take_backup(self._shop, order, self._noting(planned.id, progress))
        except BackupBusy:
            raise
        except BackupFailed as error:
            self._teller.failed(planned, str(error))
            raise
        finally:
            self._running.pop(planned.id, None)
        self._teller.succeeded(backup)
        return backup

    def take(self, database: str, *, held_by: str, progress: Progress) -> Published:
        """A full dump before a migration, kept for as long as `held_by` may need it.

        Raises:
            BackupFailed: there is none; one line.
        """
        backup = self.run(database, "dump", "pre_migration", held_by=held_by, progress=progress)
        return published_facts(backup)

    def release(self, database: str, *, held_by: str) -> None:
        """The run `held_by` needs no way back: retention may judge what it held like any other."""
        self._let_go(b for b in self._catalog.held(database) if b.held_by == held_by)

    def release_earlier(self, database: str, *, than: str) -> None:
        """The run `than` succeeded: nobody goes back to what other runs of the database held.

        A database has one run at a time, so all others came before. What a person holds stays.
        """
        held = ((b, b.held_by or "") for b in self._catalog.held(database))
        self._let_go(b for b, by in held if by != than and not by.startswith(OPERATOR))

    def hold(self, backup_id: str, why: str) -> Backup:
        """Keep a backup from retention until it is let go by hand.

        Raises:
            BackupFailed: no such backup, it does not count, or somebody holds it already.
        """
        return self._events.hold(self.find(backup_id), why)

    def let_go(self, backup_id: str) -> Backup:
        """Nobody holds the backup any more, whoever did.

        Raises:
            BackupFailed: no such backup, or nobody holds it.
        """
        return self._events.release(self.find(backup_id))

    def note_event(self, backup_id: str, event: Event) -> Manifest:
        """Append to the history in a backup's manifest, signed anew; its state stays.

        Raises:
            BackupFailed: no such backup, or its manifest can't be written.
        """
        return self._events.note(self.find(backup_id), event)

    def mark_replicated(self, backup_id: str, at: datetime, where: str = "") -> Backup:
        """A copy off the machine was read back at `at`, and is equal.

        Raises:
            BackupFailed: no such backup, it does not count, or it can't be noted.
        """
        return self._events.replicated(self.find(backup_id), at, where)

    def mark_drilled(self, backup_id: str, at: datetime, *, ok: bool, detail: str = "") -> Backup:
        """The backup was restored at `at`; `ok` when all was found as it was at its snapshot.

        Raises:
            BackupFailed: no such backup, it does not count, or it can't be noted.
        """
        return self._events.drilled(self.find(backup_id), at, ok=ok, detail=detail)

    def newest(self, subject: str, kind: Kind = "dump") -> Published | None:
        """The newest backup of a kind that counts and whose files are there, or None.

        While the folder can't be read that is None too: what can't be seen can't be relied on.
        """
        if subject in self._notice():
            return None
        newest = self._catalog.newest_published(subject, kind)
        return published_facts(newest) if newest else None

    def running(self) -> Mapping[str, str]:
        """What is being made now: ids with their phases."""
        return dict(self._running)

    def reading(self, database: str) -> str | None:
        """Who reads the whole database now, in words; raises what `reader_of` does."""
        return reader_of(self._subjects.target(database, "dump"))

    def subjects(self) -> Mapping[str, tuple[Kind, ...]]:
        """What there are backups of, databases and `@cluster`s, with the kinds of each."""
        return self._subjects.kinds

    def verify(self, backup_id: str) -> Verified:
        """Read a backup again, every byte; what it finds decides whether it counts.

        Raises:
            BackupFailed: no such backup, or it could not be looked at.
        """
        backup = self.find(backup_id)
        verified, changed = self._second_look.at(backup)
        if changed:
            self._teller.changed(backup)
        return verified

    def prune(self, *, apply: bool) -> Pruned:
        """What retention would delete; with `apply`, delete it. What can't be seen is left out.

        Raises:
            BackupFailed: somebody else is pruning, or files could not be deleted.
        """
        return self._pruning.prune(self._notice(), apply=apply)

    def frozen(self) -> str | None:
        """Why retention deletes nothing until an operator confirms the catalogue, or None."""
        return self._rebuild.frozen()

    def confirm_catalogue(self) -> bool:
        """An operator has looked, and the catalogue is right; False when nobody doubted it."""
        return self._rebuild.confirm()

    def confirm_clock(self) -> None:
        """An operator says that the clock is right as it is, and that no backup is misdated."""
        self._pruning.confirm_clock()

    def rebuild(self, *, apply: bool) -> list[Found]:
        """The catalogue as the manifests on disk alone have it; with `apply` it is so after.

        Raises:
            BackupFailed: the folder can't be read.
        """
        try:
            found = self._rebuild.look(apply=apply)
        except OSError as error:
            raise BackupFailed(f"the manifests can't be read: {one_line(error)}") from None
        if apply:
            self._notice()
            self._rebuild.confirm()
            self.refresh_metrics()
        return found

    def refresh_metrics(self) -> None:
        """Set the gauges to what the catalog says; what is unknown is absent.

        One read of the catalog and none of the disk. Fine at any time and again.
        """
        self._gauges.show_all()

    def forget_metrics(self, subjects: Iterable[str]) -> None:
        """Remove the gauges of databases that left the configuration.

        This service shows nothing of them after, though a backup of theirs may still be under way.
        Counters stay: they are no less true.
        """
        self._gauges.forget(subjects)

    def _order(self, planned: Backup, *, incremental: bool) -> Order:
        target = self._subjects.target(planned.database, planned.kind)
        cluster = self._subjects.cluster(planned.database)
        parent = partial(self._parent, planned.database) if incremental else _no_parent
        build = partial(self._engine, planned.kind, target, cluster, parent)
        return Order(planned, cluster, target, build)

    def _decoder(self, manifest: Manifest) -> Engine:
        """What decodes an artifact; no server is asked, so one that is gone is no hindrance."""
        target = self._subjects.any_target()
        return self._engine(manifest.kind, target, manifest.cluster, _no_parent)

    def _engine(self, kind: Kind, target: Target, cluster: str, parent: Parent) -> Engine:
        shop = self._shop
        return self._engines(
            kind,
            target,
            shop.config,
            shop.processes,
            shop.clock,
            cluster=cluster,
            parent=parent,
        )

    def _parent(self, subject: str) -> tuple[Path, Manifest] | None:
        """What an incremental base backup goes on from; without one it is a full one."""
        newest = self.newest(subject, "base")
        return (self.folder_of(newest.id), self.manifest_of(newest.id)) if newest else None

    def _noting(self, backup_id: str, progress: Progress) -> Progress:
        def note(fields: Mapping[str, Any]) -> None:
            self._running[backup_id] = str(fields.get("phase", ""))
            progress(fields)

        return note

    def _let_go(self, held: Iterable[Backup]) -> None:
        for backup in held:
            self._events.let_go(backup)

    def _notice(self) -> Mapping[str, str]:
        """Look whether files are there, tell what changed, and give what can't be seen."""
        noticed = notice(self._catalog, self._layout, self._seal)
        for backup in (*noticed.missing, *noticed.returned):
            self._teller.changed(backup)
        self._teller.unseen(noticed.unseen)
        return noticed.unseen


def _no_parent() -> None:
    """A full one needs none."""
