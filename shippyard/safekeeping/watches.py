"""Owns joining what looks all the time: canaries, losses, lateness, backups of unknown signers."""

from collections.abc import Iterator
from datetime import datetime
from functools import partial

from shippyard.backup.catalog import Catalog
from shippyard.backup.drill.canary import Canary
from shippyard.backup.drill.service import Drills
from shippyard.backup.drill.watch import LossWatch
from shippyard.backup.lateness import Lateness
from shippyard.backup.model import subject_of_cluster
from shippyard.backup.seal import Seal
from shippyard.backup.service import BackupService
from shippyard.backup.strangers import StrangerWatch
from shippyard.postgres.target import target_of
from shippyard.safekeeping.ground import Ground, first_of
from shippyard.safekeeping.wal import KeptWal


def canaries_of(ground: Ground) -> Iterator[Canary]:
    """A canary for each cluster that lets one write."""
    for cluster, settings in ground.config.backup.clusters.items():
        if settings.canary:
            target = target_of(first_of(ground.config, cluster), settings.canary)
            beat = ground.beats(f"canary {cluster}")
            yield Canary(subject_of_cluster(cluster), target, ground.clock, beat)


def loss_watch_of(
    ground: Ground, backups: BackupService, wal: KeptWal, drills: Drills
) -> LossWatch:
    """What says how much would be lost now."""
    return LossWatch(
        ground.config,
        backups=backups,
        arrivals=wal.arrivals,
        gauges=drills.gauges,
        clock=ground.clock,
        tell=ground.tell,
        beat=ground.beats("loss watch"),
    )


def lateness_of(ground: Ground, drills: Drills) -> Lateness:
    """What says that a backup or a drill is late."""
    return Lateness(
        ground.config,
        state=ground.state,
        clock=ground.clock,
        tell=ground.tell,
        last_drill=partial(_last_drill, drills),
        beat=ground.beats("lateness"),
    )


def _last_drill(drills: Drills, subject: str) -> datetime | None:
    newest = drills.history(subject, limit=1)
    return newest[0].started_at if newest else None


def stranger_watch_of(ground: Ground, seal: Seal) -> StrangerWatch:
    """What says that an unknown key signed backups."""
    return StrangerWatch(
        ground.config,
        Catalog(ground.state),
        seal,
        tell=ground.tell,
        beat=ground.beats("strangers"),
    )
