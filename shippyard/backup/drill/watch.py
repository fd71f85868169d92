"""Owns watching what would be lost now where WAL is kept, and saying when it is too much.

Where only dumps are kept somebody else knows. What counts is until when everything is held: by WAL
that follows a base backup, else by the newest backup. A copy counts for the machine only once it
was read back off it.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError

from shippyard.backup.drill.gauges import DrillGauges
from shippyard.backup.drill.objectives import OBJECTIVES, judge_loss
from shippyard.backup.model import Backup, subject_of_cluster
from shippyard.config.models import Config, Database
from shippyard.host.clock import Clock
from shippyard.telemetry.condition import Condition, Tell

EVERY_S = 15.0
FIRST_S = 60.0
"""After a start it takes as long until the server was asked how far its WAL is."""
JOIN_S = 3.0

log = structlog.get_logger(__name__)


class Arrivals(Protocol):
    """Until when WAL of a cluster (`@name`) has arrived; None while none does, or nobody knows."""

    def received(self, subject: str) -> datetime | None:
        """On this machine, flushed, and without a gap since the newest base backup."""
        ...

    def shipped(self, subject: str) -> datetime | None:
        """Off this machine."""
        ...


class NoArrivals:
    """Where no WAL is kept."""

    def received(self, subject: str) -> datetime | None:  # noqa: ARG002  as in the Protocol
        """Never."""
        return None

    def shipped(self, subject: str) -> datetime | None:  # noqa: ARG002  as in the Protocol
        """Never."""
        return None


class History(Protocol):
    """What is known of backups."""

    def history(self, subject: str | None = None) -> list[Backup]:
        """Every attempt that is remembered, newest first."""
        ...


@dataclass(frozen=True)
class Held:
    """Until when a database can be brought back to; None when it can't be at all."""

    cluster: datetime | None
    machine: datetime | None


def held_until(
    dumps: Sequence[Backup],
    bases: Sequence[Backup],
    received: datetime | None,
    shipped: datetime | None,
) -> Held:
    """What is held when the cluster, or the whole machine, is lost. Pure.

    `dumps` are of the database and `bases` of its cluster; those that don't count are ignored.
    """
    here = [backup for backup in (*dumps, *bases) if backup.counts]
    away = [backup for backup in here if backup.replicated_at]
    followed = any(backup.kind == "base" for backup in here)
    followed_away = any(backup.kind == "base" for backup in away)
    return Held(
        _newest(here, received if followed else None),
        _newest(away, shipped if followed_away else None),
    )


class LossWatch:
    """Looks every quarter of a minute, from a thread of its own."""

    def __init__(
        self,
        config: Config,
        *,
        backups: History,
        arrivals: Arrivals,
        gauges: DrillGauges,
        clock: Clock,
        tell: Tell,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._config = config
        self._backups = backups
        self._arrivals = arrivals
        self._gauges = gauges
        self._clock = clock
        self._tell = tell
        self._beat = beat
        self._made_at_s = clock.monotonic()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to look."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="loss watch", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Look no more; safe twice, and before starting."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(JOIN_S)

    def look(self) -> None:
        """Look once: at what is promised, and at every database whose WAL is kept."""
        with_wal = {n for n, each in self._config.backup.clusters.items() if each.wal != "off"}
        for database in self._config.databases:
            self._gauges.show_objective(database.name, OBJECTIVES[database.criticality])
            if database.cluster in with_wal:
                self._look_at(database)

    def _run(self) -> None:
        wait_s = 0.0
        while not self._stop.wait(wait_s):
            self._beat()
            try:
                self.look()
            except SQLAlchemyError as error:
                log.warning("loss.not_looked", reason=" ".join(str(error).split()))
            wait_s = EVERY_S

    def _look_at(self, database: Database) -> None:
        cluster = subject_of_cluster(database.cluster)
        received = self._arrivals.received(cluster)
        if received is None and self._clock.monotonic() - self._made_at_s < FIRST_S:
            # The age of a base backup is not what would be lost when WAL follows it.
            return
        held = held_until(
            [b for b in self._backups.history(database.name) if b.kind == "dump"],
            [b for b in self._backups.history(cluster) if b.kind == "base"],
            received,
            self._arrivals.shipped(cluster),
        )
        losses = {"cluster": self._ago(held.cluster), "machine": self._ago(held.machine)}
        objective = OBJECTIVES[database.criticality]
        self._gauges.show_loss(database.name, losses)
        # Without a place off the machine there is nothing to be late with: doctor says so.
        of = "machine" if self._config.backup.offsite else "cluster"
        summary = judge_loss(losses[of], objective, of)
        evidence = {"loss": of, "seconds": losses[of], "objective_s": objective.rpo_s}
        self._tell(Condition("loss_over_objective", database.name, summary, evidence=evidence))

    def _ago(self, at: datetime | None) -> float | None:
        return max(0.0, (self._clock.now() - at).total_seconds()) if at else None


def _newest(backups: Sequence[Backup], wal: datetime | None) -> datetime | None:
    return max([*(backup.started_at for backup in backups), *([wal] if wal else [])], default=None)
