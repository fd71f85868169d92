"""Owns guarding the server from our slot: before what it keeps fills a disk, it goes.

The decision is `slot`'s; this carries it out and says so.
"""

import structlog

from shippyard.backup.model import subject_of_cluster
from shippyard.backup.wal.archive import WalArchive
from shippyard.backup.wal.server import Answer, drop_slot
from shippyard.backup.wal.sighting import Sighting
from shippyard.backup.wal.slot import Owned, judge
from shippyard.config.models import ClusterBackup
from shippyard.host.clock import Clock
from shippyard.postgres.session import QueryFailed, Unreachable
from shippyard.postgres.target import Target
from shippyard.state.database import State
from shippyard.telemetry.condition import Condition, Tell
from shippyard.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)


class SlotGuard:
    """Guards one cluster's slot. `acting` is the role that may drop it."""

    def __init__(
        self,
        cluster: str,
        settings: ClusterBackup,
        archive: WalArchive,
        acting: Target,
        *,
        state: State,
        metrics: Metrics,
        clock: Clock,
        tell: Tell,
    ) -> None:
        self._cluster = cluster
        self._settings = settings
        self._archive = archive
        self._acting = acting
        self._sighting = Sighting(settings.slot, archive, state, clock)
        self._metrics = metrics
        self._clock = clock
        self._tell = tell

    def look(self, answer: Answer) -> bool:
        """Judge what the server said; True when the slot was dropped just now."""
        retained = answer.slot.retained_bytes
        if retained is None:
            self._metrics.wal_slot_retained.remove(self._cluster)
        else:
            self._metrics.wal_slot_retained.labels(self._cluster).set(retained)
        past = self._sighting.past(exists=answer.slot.exists)
        slot = Owned(self._settings.slot, self._cluster, past)
        found = judge(
            slot,
            answer.slot,
            answer.disk,
            reserve_ratio=self._settings.slot_reserve_ratio,
            may_drop=self._settings.drop_slot,
        )
        if found.action == "wait":
            return False
        line = f"WAL of {self._cluster}: {found.line}" if found.line else None
        dropped = False
        if found.action == "drop":
            dropped, after = self._drop(slot)
            line = f"{line}{after}"
        evidence = {"slot": self._settings.slot, "retained_bytes": retained}
        subject = subject_of_cluster(self._cluster)
        self._tell(Condition("wal_slot", subject, line, found.severity, evidence))
        return dropped

    def _drop(self, slot: Owned) -> tuple[bool, str]:
        """Let the slot go, and say what will be missing."""
        try:
            drop_slot(self._acting, slot.name)
        except (Unreachable, QueryFailed) as error:
            return False, f", but could not be: {error}"
        log.error("wal.slot_dropped", cluster=self._cluster, slot=slot.name)
        kept = self._archive.kept()
        if kept.identity is None or kept.newest is None:
            return True, ""
        following = kept.newest[0].next().name(kept.identity.segment_bytes)
        self._archive.declare_lost(following, following, self._clock.now())
        return True, f"; WAL from {following} on may be lost; {slot.remade}"
