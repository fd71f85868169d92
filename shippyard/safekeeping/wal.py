"""Owns joining what is done with a cluster's WAL: watched, shipped away, deleted when unneeded."""

from datetime import timedelta

from shippyard.backup.layout import Layout
from shippyard.backup.lock import Busy, exclusive
from shippyard.backup.model import subject_of_cluster
from shippyard.backup.offsite.offsite import Offsite
from shippyard.backup.restore.physical import WalSource
from shippyard.backup.retention import keep_for
from shippyard.backup.wal.archive import WalArchive
from shippyard.backup.wal.bases import KeptBases
from shippyard.backup.wal.pruning import prune_wal
from shippyard.backup.wal.ship import WalShip
from shippyard.backup.wal.watch import WalArrivals, WalWatch, Watched
from shippyard.config.models import ClusterBackup
from shippyard.postgres.target import target_of
from shippyard.safekeeping.ground import Ground, Service, first_of


class KeptWal:
    """The WAL of every cluster that keeps some."""

    def __init__(self, ground: Ground, offsite: Offsite | None, bases: KeptBases) -> None:
        self._ground = ground
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
        """Delete WAL that no base backup needs, nor one that may come back."""
        lock = Layout(self._ground.config.backup.dir).wal_prune_lock()
        try:
            with exclusive(lock, "pruning WAL"):
                gone = sum(self._prune(watch, frozen) for watch in self.watches)
        except Busy:
            return "deleted no WAL: a restore reads it"
        return f"deleted {gone} WAL files"

    def _prune(self, watch: WalWatch, frozen: str | None) -> int:
        settings = self._ground.config.backup
        days = keep_for(settings.keep, settings.keep_by_kind, "base").days
        since = self._ground.clock.now() - timedelta(days=days)
        bases = self._bases.that_may_need(watch.subject, since=since)
        return len(prune_wal(watch.archive, bases, frozen=frozen, apply=True))

    def _add(
        self, ground: Ground, offsite: Offsite | None, cluster: str, settings: ClusterBackup
    ) -> None:
        first = first_of(ground.config, cluster)
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
