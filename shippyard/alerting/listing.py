"""Owns how incidents are shown to people: with who was told, and what became of each message.

It reads what is in memory and in the state database, and changes nothing.
"""

from collections.abc import Iterable
from typing import Any

import structlog

from shippyard.alerting.delivery import Delivery
from shippyard.alerting.evidence import bounded_evidence
from shippyard.alerting.incidents import Incident, Moment
from shippyard.alerting.journal import Journal
from shippyard.alerting.ledger import Ledger, LedgerUnavailable
from shippyard.alerting.message import describe

ENDED_MAX = 100
DELIVERIES_MAX = 20
EVIDENCE_BYTES = 4 * 1024

log = structlog.get_logger(__name__)


class Listing:
    """Incidents in JSON's terms."""

    def __init__(self, ledger: Ledger, journal: Journal) -> None:
        self._ledger = ledger
        self._journal = journal

    def ended(self, now: Moment) -> list[Incident]:
        """The newest that are over; none when they can't be read."""
        try:
            return self._ledger.ended(ENDED_MAX, now)
        except LedgerUnavailable as error:
            log.warning("alerting.history_unreadable", error=str(error))
            return []

    def shown(
        self, incidents: Iterable[Incident], now: Moment, evidence_bytes: int = EVIDENCE_BYTES
    ) -> list[dict[str, Any]]:
        """Each with its messages, and at most so much of its evidence."""
        return [
            {
                **describe(incident),
                "evidence": bounded_evidence(incident.evidence, evidence_bytes),
                "silenced_by": incident.silenced_by,
                "deliveries": [_delivery(each) for each in self._deliveries_of(incident, now)],
            }
            for incident in incidents
        ]

    def _deliveries_of(self, incident: Incident, now: Moment) -> list[Delivery]:
        """As written, with what only memory knows in its place."""
        try:
            written = self._ledger.deliveries_of(incident, DELIVERIES_MAX, now)
        except LedgerUnavailable:
            written = []
        with self._journal.lock:
            newer = self._journal.unwritten(incident.id)
        return list({delivery.key: delivery for delivery in (*written, *newer)}.values())


def _delivery(delivery: Delivery) -> dict[str, Any]:
    return {
        "route": delivery.route,
        "event": delivery.event,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "at": (delivery.sent_at or delivery.created_at).isoformat(timespec="milliseconds"),
        "error": delivery.error,
    }
