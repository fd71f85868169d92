"""Owns what alerting says of itself: a route that takes nothing, a test, a look that nobody takes.

Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shippyard.alerting.incidents import Finding, Incident, Moment, fingerprint
from shippyard.alerting.outbox import End
from shippyard.alerting.rules import Ruled

DEAD_RULE = "delivery_dead"
TEST_RULE = "test"
OWN_CLUSTER = "shippyard"
"""What stands in an incident of the daemon itself where others name a cluster."""


@dataclass(frozen=True)
class RouteDead:
    """The finding that a route's last message was given up."""

    summary: str
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class OwnObservation:
    """What alerting sees of itself."""

    rule: str
    cluster: str
    database: str
    severity: str
    for_s: float
    finding: Finding | None
    parts: Mapping[str, Finding] = field(default_factory=dict)


def of_route(route: str, end: End) -> OwnObservation:
    """What the last message's end says about a route."""
    finding = RouteDead(
        f"route {route} took no message: the last one was given up; "
        "see `shippyard ctl alerts history` for why"
    )
    return OwnObservation(
        rule=DEAD_RULE,
        cluster=OWN_CLUSTER,
        database=route,
        severity="page",
        for_s=0.0,
        finding=finding if end == "dead" else None,
    )


def test_incident(route: str, by: str, now: Moment) -> Incident:
    """What a route is tried with; nobody keeps it."""
    return Incident(
        fingerprint=fingerprint(TEST_RULE, OWN_CLUSTER, route),
        rule=TEST_RULE,
        cluster=OWN_CLUSTER,
        database=route,
        severity="page",
        state="firing",
        summary=f"TEST: nothing is wrong; {by} tries the route {route}",
        evidence={"test": True},
        pending_at=now.at,
        since_s=now.monotonic_s,
        seen_at=now.at,
        firing_at=now.at,
    )


def all_clear(incident: Incident) -> Ruled:
    """The look that nobody takes any more."""
    return Ruled(
        rule=incident.rule,
        cluster=incident.cluster,
        database=incident.database,
        subject=incident.subject,
        severity=incident.severity,
        for_s=0.0,
        finding=None,
    )
