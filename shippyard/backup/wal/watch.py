"""Owns watching one cluster's WAL from the daemon: it arrives, it is whole, the slot does no harm.

Every few seconds the server is asked how far it is, and every `wal_scan_s` all that is kept is
looked at. What is wrong is told, and told again when it is over. Receiving itself is another
process; this one can be away for a day without WAL being lost.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy.exc import SQLAlchemyError

from shippyard.backup.manifest import Manifest
from shippyard.backup.model import subject_of_cluster
from shippyard.backup.restore.coverage import segment_bytes
from shippyard.backup.wal.archive import WalArchive
from shippyard.backup.wal.arrival import Arrival
from shippyard.backup.wal.gaps import GapBook, Settled, settle
from shippyard.backup.wal.guard import SlotGuard
from shippyard.backup.wal.names import parse_segment
from shippyard.backup.wal.presence import DEFAULT_SEGMENT_BYTES, Looked, Presence
from shippyard.backup.wal.report import Trouble, gap_condition
from shippyard.backup.wal.scan import BasePosition, Gap, ScanReport, is_behind, scan
from shippyard.backup.wal.server import ask
from shippyard.backup.wal.ship import WalShip
from shippyard.backup.wal.spool import Spool
from shippyard.backup.wal.standing import WalStanding
from shippyard.config.models import ClusterBackup
from shippyard.host.clock import Clock
from shippyard.postgres.session import QueryFailed, Unreachable
from shippyard.postgres.target import Target
from shippyard.state.database import State
from shippyard.telemetry.condition import Tell
from shippyard.telemetry.metrics import Metrics

TURN_S = 5.0
JOIN_S = 3.0
SETTLED = timedelta(minutes=10)

Bases = Callable[[str], Sequence[Manifest]]
"""Manifests of a subject's base backups that count."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Watched:
    """One cluster: how it is reached, by whom, and what config says of it."""

    cluster: str
    settings: ClusterBackup
    server: Target
    replication: Target | None
    scan_s: float


@dataclass(frozen=True)
class Scanned:
    """The last scan, for whoever draws it."""

    at: datetime
    looked: Looked
    report: ScanReport
    settled: Settled
    bases: tuple[BasePosition, ...]


class WalWatch:
    """Watches until stopped; stopping twice, or before starting, is fine."""

    def __init__(
        self,
        watched: Watched,
        archive: WalArchive,
        *,
        bases: Bases,
        state: State,
        metrics: Metrics,
        clock: Clock,
        tell: Tell,
        beat: Callable[[], None] = lambda: None,
        ship: WalShip | None = None,
    ) -> None:
        """`ship` is who ships this cluster's WAL, if anybody does."""
        self.subject = subject_of_cluster(watched.cluster)
        self.archive = archive
        self.last: Scanned | None = None
        self._trouble: str | None = None
        self._watched = watched
        self._bases = bases
        self._book = GapBook(state, self.subject)
        self._state = state
        self._metrics = metrics
        self._clock = clock
        self._tell = tell
        self._beat = beat
        self._ship = ship
        self._stop = threading.Event()
        self._presence = Presence(
            archive, clock=clock, every_s=watched.scan_s, given_up=self._stop.is_set, beat=beat
        )
        self._arrival, self._guard = self._parts()
        self._scanned_at = float("-inf")
        self._thread = threading.Thread(
            target=self._run, name=f"wal {watched.cluster}", daemon=True
        )

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no more; a file that is being read is given up soon after."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(JOIN_S)

    def forget(self) -> None:
        """Say nothing more of this cluster in the metrics."""
        m = self._metrics
        for gauge in (
            m.wal_received,
            m.wal_gaps,
            m.wal_scanned,
            m.wal_slot_retained,
            m.wal_segments,
            m.offsite_wal_shipped,
        ):
            gauge.remove(self._watched.cluster)

    def received_until(self) -> datetime | None:
        """Until when everything committed is here, without a gap since the newest base backup."""
        return self._arrival.covered_until(self._held_to())

    def shipped_until(self) -> datetime | None:
        """Until when everything committed is off the machine."""
        shipped = self._ship.position() if self._ship else None
        if shipped is None:
            return None
        return self._arrival.covered_until(min(shipped, self._held_to()))

    def standing(self) -> WalStanding:
        """How it stands now; the trouble is that of the last turn.

        Raises:
            OSError: the archive can't be looked at.
        """
        kept = self.archive.kept()
        newest = None
        if kept.identity and kept.newest:
            newest = kept.newest[0].name(kept.identity.segment_bytes)
        return WalStanding(
            self._arrival.state(),
            newest,
            self.received_until(),
            self.shipped_until(),
            len(self.last.settled.open) if self.last else None,
            None if self._arrival.is_awaited() else self._trouble,
        )

    def turn(self) -> None:
        """One time round; the scan when it is due. Never raises."""
        self._beat()
        try:
            self._ask()
            troubles = [self._arrival.take_in(self._stop.is_set)]
            if self._ship:
                troubles.append(self._ship.trouble())
            self._trouble = "; ".join(each.line for each in troubles if each.line) or None
            self._show_reach()
            if self._scan_is_due():
                self._scanned_at = self._clock.monotonic()
                self._scan()
            self._say(troubles)
        except Exception:
            log.exception("wal.watch_failed", cluster=self._watched.cluster)

    def _scan_is_due(self) -> bool:
        """By the clock, and at once when base backups came or went: what is needed changed."""
        if self._clock.monotonic() - self._scanned_at >= self._watched.scan_s:
            return True
        known = {base.backup_id for base in self.last.bases} if self.last else set()
        return known != {base.id for base in self._bases(self.subject) if base.wal_first}

    def _parts(self) -> tuple[Arrival, SlotGuard | None]:
        """How WAL arrives, by what config says, and who guards the slot if there is one."""
        cluster, settings = self._watched.cluster, self._watched.settings
        if settings.wal == "archive":
            spool = Spool(settings.spool, self.archive, self._clock)
            return Arrival(cluster, self.archive, spool, self._clock), None
        guard = SlotGuard(
            cluster,
            settings,
            self.archive,
            self._watched.replication or self._watched.server,
            state=self._state,
            metrics=self._metrics,
            clock=self._clock,
            tell=self._tell,
        )
        return Arrival(cluster, self.archive, None, self._clock), guard

    def _show_reach(self) -> None:
        reach = self._arrival.reach()
        if reach:
            self._metrics.wal_received.labels(self._watched.cluster).set(reach[1].timestamp())
        shipped = self.shipped_until()
        if shipped:
            gauge = self._metrics.offsite_wal_shipped.labels(self._watched.cluster)
            gauge.set(shipped.timestamp())

    def _run(self) -> None:
        wait_s = 0.0
        while not self._stop.wait(wait_s):
            self.turn()
            wait_s = TURN_S

    def _ask(self) -> None:
        """Ask the server how far it is, and have the slot judged."""
        at = self._clock.now()
        try:
            answer = ask(self._watched.server, self._watched.settings.slot)
        except (Unreachable, QueryFailed) as error:
            self._arrival.heard(at, None)
            log.info("wal.not_asked", cluster=self._watched.cluster, reason=str(error))
            return
        self._arrival.heard(at, answer)
        if self._guard and self._guard.look(answer):
            self._scanned_at = float("-inf")

    def _held_to(self) -> int:
        """How far recovery from the newest base backup gets."""
        reach = self._arrival.reach()
        have = reach[0] if reach else 0
        if self.last is None:
            return have
        size = self.last.looked.holdings.segment_bytes
        newest = max(self.last.bases, key=lambda base: base.finished_at, default=None)
        stops = [
            gap.first * size
            for gap in self.last.report.gaps
            if newest is None or not is_behind(gap, newest)
        ]
        return min([have, *stops])

    def _scan(self) -> None:
        manifests, now = self._bases(self.subject), self._clock.now()
        usual = segment_bytes(manifests[0]) if manifests else DEFAULT_SEGMENT_BYTES
        looked = self._presence.look(self._arrival.waiting(), usual_bytes=usual)
        size = looked.holdings.segment_bytes
        bases = tuple(positions(manifests, size, now))
        report = scan(looked.holdings, bases)
        settled = self._remember(report.gaps, bases, size, now)
        self.last = Scanned(now, looked, report, settled, bases)
        self._metrics.wal_gaps.labels(self._watched.cluster).set(len(settled.open))
        self._metrics.wal_segments.labels(self._watched.cluster).set(len(looked.holdings.held))
        self._metrics.wal_scanned.labels(self._watched.cluster).set(now.timestamp())
        log.info(
            "wal.scanned",
            cluster=self._watched.cluster,
            segments=len(looked.holdings.held),
            gaps=len(settled.open),
            read_again=looked.read_again,
            unread=looked.unread,
        )

    def _remember(
        self, gaps: Sequence[Gap], bases: Sequence[BasePosition], size: int, now: datetime
    ) -> Settled:
        """What is open; a state that can't be written stops no page."""
        try:
            settled = settle(self._book.noted(size), gaps, bases)
            self._book.write(settled, size, now)
        except SQLAlchemyError as error:
            log.warning("wal.gaps_not_noted", reason=" ".join(str(error).split()))
            return Settled((), (), tuple(gaps))
        for gap in settled.begun:
            log.error("wal.gap", segments=gap.names(size), why=gap.why)
        return settled

    def _say(self, troubles: Sequence[Trouble]) -> None:
        if self.last is not None and not self._arrival.is_awaited():
            self._tell(gap_condition(self._watched.cluster, self.last, troubles))


def positions(
    manifests: Sequence[Manifest], segment_bytes: int, now: datetime
) -> list[BasePosition]:
    """Where base backups stand. One that does not say what it needs has none."""
    return [
        BasePosition(
            manifest.id,
            parse_segment(manifest.wal_first, segment_bytes),
            manifest.finished_at,
            now - manifest.finished_at > SETTLED,
        )
        for manifest in manifests
        if manifest.wal_first
    ]


class WalArrivals:
    """How WAL of each cluster has arrived, for whoever tells what would be lost."""

    def __init__(self, watches: Sequence[WalWatch]) -> None:
        self._watches: Mapping[str, WalWatch] = {watch.subject: watch for watch in watches}

    def received(self, subject: str) -> datetime | None:
        """On this machine, flushed, and without a gap since the newest base backup."""
        watch = self._watches.get(subject)
        return watch.received_until() if watch else None

    def shipped(self, subject: str) -> datetime | None:
        """Off this machine."""
        watch = self._watches.get(subject)
        return watch.shipped_until() if watch else None

    def standing(self, subject: str) -> WalStanding | None:
        """All that is known of it; None where no WAL is kept.

        Raises:
            OSError: the archive can't be looked at.
        """
        watch = self._watches.get(subject)
        return watch.standing() if watch else None
