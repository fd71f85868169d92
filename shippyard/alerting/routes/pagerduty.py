"""Owns PagerDuty's Events API v2: an incident's id is the `dedup_key` of all that is said of it.

A repeat is one more trigger of the same key, which PagerDuty adds to the alert's log. What is
optional is bounded to what the API takes: https://developer.pagerduty.com/docs/events-api-v2/
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shippyard.alerting.delivery import Answer
from shippyard.alerting.evidence import bounded_evidence
from shippyard.alerting.routes.posting import Address, Poster, address_of, poster_of
from shippyard.config.alerting import Route as RouteConfig
from shippyard.host.secrets import read_secret

EVENTS_URL = "https://events.pagerduty.com"
SUMMARY_MAX_CHARS = 1024
DETAILS_MAX_BYTES = 16 * 1024
"""The API takes 512 KiB; nobody reads more than this on a telephone."""

ACTIONS: Mapping[str, str] = {
    "trigger": "trigger",
    "repeat": "trigger",
    "acknowledge": "acknowledge",
    "resolve": "resolve",
}
SEVERITIES: Mapping[str, str] = {"page": "critical", "ticket": "warning", "info": "info"}


@dataclass(frozen=True)
class PagerDuty:
    """One integration of a service."""

    name: str
    timeout_s: float
    address: Address = field(repr=False)
    poster: Poster = field(repr=False)
    key: str = field(repr=False)

    def send(self, message: Mapping[str, Any], now: datetime) -> Answer:
        """Tell of one event."""
        return self._post("/v2/enqueue", event_of(message, self.key), now)

    def announce(self, change: Mapping[str, Any], now: datetime) -> Answer:
        """Tell of a change: it pages nobody, and stands beside the next incident."""
        return self._post("/v2/change/enqueue", change_of(change, self.key, now), now)

    def _post(self, path: str, document: Mapping[str, Any], now: datetime) -> Answer:
        headers = {"Content-Type": "application/json"}
        body = json.dumps(document).encode()
        return self.poster.post(self.address.below(path), body, headers, now)


def event_of(message: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A message as an event; whatever is not a trigger needs no payload."""
    incident = message["incident"]
    event = {
        "routing_key": key,
        "event_action": ACTIONS[message["event"]],
        "dedup_key": incident["id"],
    }
    if event["event_action"] != "trigger":
        return event
    return {
        **event,
        "client": "Shippyard",
        "payload": {
            "summary": f"{incident['database']}: {incident['summary']}"[:SUMMARY_MAX_CHARS],
            "source": incident["cluster"],
            "severity": SEVERITIES[incident["severity"]],
            "timestamp": incident["since"],
            "component": incident["database"],
            "group": incident["cluster"],
            "class": incident["rule"],
            "custom_details": _details(message, incident),
        },
        "links": _links(incident["runbook"]),
    }


def change_of(change: Mapping[str, Any], key: str, now: datetime) -> dict[str, Any]:
    """A change as an event."""
    return {
        "routing_key": key,
        "payload": {
            "summary": str(change["summary"])[:SUMMARY_MAX_CHARS],
            "source": change["database"],
            "timestamp": now.isoformat(timespec="milliseconds"),
            "custom_details": bounded_evidence(change, DETAILS_MAX_BYTES),
        },
    }


def _details(message: Mapping[str, Any], incident: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "environment": message["environment"],
        "subject": incident["subject"],
        "action": incident["action"],
        "runbook": incident["runbook"],
        "evidence": bounded_evidence(incident["evidence"], DETAILS_MAX_BYTES),
    }


def _links(runbook: str) -> list[dict[str, str]]:
    """A link has to be one that a browser can follow."""
    return [{"href": runbook, "text": "Runbook"}] if runbook.startswith("http") else []


def from_config(config: RouteConfig) -> PagerDuty:
    """The integration that config describes.

    Raises:
        SecretMissing: a credential can't be read.
        UrlUnusable: its URL is none.
    """
    address = address_of(config, EVENTS_URL)
    key = read_secret(config.key_credential or "")
    return PagerDuty(config.name, config.timeout_s, address, poster_of(config, address), key)
