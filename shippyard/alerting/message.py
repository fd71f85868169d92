"""Owns what a message says: the document that a receiver gets. Pure.

Version 1 of the document, in JSON:

    version          1
    event            "trigger", "repeat", "acknowledge" or "resolve"
    idempotency_key  the same for every attempt at this message; also in the header
                     `Idempotency-Key`. A receiver that has seen it may ignore the rest.
    environment      "development", "testing", "staging" or "production"
    audit_head       number and hash of the audit's newest entry, or null: kept where whoever would
                     write the audit anew does not reach
    sent_at          when this attempt was made; the only part that differs between attempts
    incident
      key            the same for every incident of this rule, cluster and database
      id             this one incident: the same in its trigger, its repeats and its resolve
      rule, cluster, database
      subject        what of the database it is about, such as a slot; "" for the whole
      severity       "page", "ticket" or "info"
      state          "firing" or "resolved"
      summary        one line
      since          when the finding was first seen
      firing_at      when it had lasted long enough to tell somebody
      resolved_at    when it was over, or null
      acked_at, acked_by, ack_note
                     who has taken it on, or null
      action         the command that ends it, or null
      runbook        where to read on
      evidence       at most 32 KiB; what it holds is the rule's affair. `<list>_omitted` counts
                     items that were left out of a list.

Times are ISO 8601 in UTC. Fields may be added within a version; none changes its meaning.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shippyard.alerting.incidents import Event, Incident

VERSION = 1


def compose(
    incident: Incident,
    event: Event,
    environment: str,
    now: datetime,
    *,
    runbook: str,
    audit_head: str | None = None,
) -> dict[str, Any]:
    """The document, without `sent_at`."""
    return {
        "version": VERSION,
        "event": event,
        "idempotency_key": f"{incident.id}.{event}.{int(now.timestamp() * 1000):x}",
        "environment": environment,
        "audit_head": audit_head,
        "incident": {"key": incident.fingerprint, **describe(incident), "runbook": runbook},
    }


def stamped(message: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """`message` as it is sent at `now`."""
    return {**message, "sent_at": _iso(now)}


def describe(incident: Incident) -> dict[str, Any]:
    """An incident in JSON's terms."""
    return {
        "id": incident.id,
        "rule": incident.rule,
        "cluster": incident.cluster,
        "database": incident.database,
        "subject": incident.subject,
        "severity": incident.severity,
        "state": incident.state,
        "summary": incident.summary,
        "since": _iso(incident.pending_at),
        "firing_at": _iso(incident.firing_at),
        "resolved_at": _iso(incident.resolved_at),
        "acked_at": _iso(incident.acked_at),
        "acked_by": incident.acked_by,
        "ack_note": incident.ack_note,
        "action": incident.evidence.get("action"),
        "evidence": dict(incident.evidence),
    }


def _iso(at: datetime | None) -> str | None:
    return at.isoformat(timespec="milliseconds") if at else None
