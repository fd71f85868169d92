"""Owns what happens when the state database can't be written: a page goes out all the same.

Every change is noted here first and written at once. Where writing fails the change stays noted,
the log says so once, and it is tried again now and then; what was noted is written in its order
when the database is back. Until then nothing suppresses a message: one that may be somebody
else's is sent, under the same key.

One lock guards all that incidents and queues keep in memory. SQLite has one writer, so a second
lock would buy nothing.
"""

import threading
from collections.abc import Iterable

import structlog

from shippyard.alerting import delivery as parcels
from shippyard.alerting.delivery import Delivery
from shippyard.alerting.incidents import OPEN, Incident, Moment
from shippyard.alerting.ledger import Ledger, LedgerUnavailable
from shippyard.host.clock import Clock

RETRY_FIRST_S = 5.0
RETRY_MAX_S = 60.0
UNSAVED_MAX = 2_000
"""So many unwritten incidents are kept; then the oldest that are over are forgotten."""

log = structlog.get_logger(__name__)


class Journal:
    """What is not written yet, and the rows of what is. Hold `lock` to use it."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self.lock = threading.RLock()
        self._ledger = ledger
        self._clock = clock
        self._incidents: dict[str, Incident] = {}
        self._deliveries: dict[tuple[str, str], Delivery] = {}
        self._rows: dict[tuple[str, str], int] = {}
        self._retry_at_s = 0.0
        self._pause_s = 0.0

    @property
    def is_degraded(self) -> bool:
        """Whether the database could not be written last time."""
        return self._pause_s > 0

    def adopt(self, delivery: Delivery, row: int) -> None:
        """Learn where a delivery is that an earlier daemon wrote."""
        self._rows[delivery.key] = row

    def record(self, incidents: Iterable[Incident], deliveries: Iterable[Delivery]) -> None:
        """Write these together, or keep them until that is possible."""
        for incident in incidents:
            self._incidents[incident.id] = incident
        for delivery in deliveries:
            self._deliveries[delivery.key] = delivery
        self._forget_beyond_bound()
        self.flush()

    def claim(self, before: Delivery, after: Delivery, now: Moment) -> Delivery | None:
        """Take a delivery: `after` when it is ours; else as somebody else left it, or None."""
        row = self._rows.get(before.key)
        if row is None or not self.flush():
            self.record((), (after,))
            return after
        try:
            if self._ledger.claim(row, before, after):
                return after
            return self._ledger.delivery(row, now)
        except LedgerUnavailable as error:
            self._degrade(error)
            self.record((), (after,))
            return after

    def flush(self) -> bool:
        """Write what is not written yet; False when the database can't be written now."""
        if not self._incidents and not self._deliveries and not self.is_degraded:
            return True
        if self._clock.monotonic() < self._retry_at_s:
            return False
        entries = [(self._rows.get(d.key), d) for d in self._deliveries.values()]
        try:
            written = self._ledger.write(list(self._incidents.values()), entries)
        except LedgerUnavailable as error:
            self._degrade(error)
            return False
        self._wrote(written)
        return True

    def unwritten(self, incident: str) -> list[Delivery]:
        """Deliveries of an incident whose newest form only memory knows."""
        return [d for d in self._deliveries.values() if d.incident == incident]

    def _wrote(self, entries: Iterable[tuple[int | None, Delivery]]) -> None:
        if self.is_degraded:
            log.info("alerting.state_recovered", incidents=len(self._incidents))
        self._pause_s = self._retry_at_s = 0.0
        self._incidents.clear()
        self._deliveries.clear()
        for row, delivery in entries:
            if row is not None and delivery.state in parcels.OPEN:
                self._rows[delivery.key] = row
            else:
                self._rows.pop(delivery.key, None)

    def _degrade(self, error: LedgerUnavailable) -> None:
        if not self.is_degraded:
            log.error(
                "alerting.state_unwritable",
                error=str(error),
                next_step="pages go out from memory; make room or mend the state directory",
            )
        self._pause_s = min(max(RETRY_FIRST_S, self._pause_s * 2), RETRY_MAX_S)
        self._retry_at_s = self._clock.monotonic() + self._pause_s

    def _forget_beyond_bound(self) -> None:
        excess = len(self._incidents) - UNSAVED_MAX
        if excess <= 0:
            return
        over = [id_ for id_, incident in self._incidents.items() if incident.state not in OPEN]
        for id_ in over[:excess]:
            del self._incidents[id_]
            for delivery in self.unwritten(id_):
                del self._deliveries[delivery.key]
