"""Owns what config says differently about a rule, and which routes an incident goes to. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from shippyard.alerting.incidents import Event, Finding, Incident, Observation
from shippyard.config.models import RuleOverride


@dataclass(frozen=True)
class Ruled:
    """An observation after the overrides."""

    rule: str
    cluster: str
    database: str
    severity: str
    for_s: float
    finding: Finding | None


class Addressee(Protocol):
    """What must be known of a route to choose it."""

    @property
    def name(self) -> str:
        """Its name in config."""
        ...

    @property
    def severities(self) -> tuple[str, ...]:
        """What it wants to hear of."""
        ...


def apply_rules(observation: Observation, overrides: Mapping[str, RuleOverride]) -> Ruled:
    """`observation` as config wants it judged.

    A rule that is turned off sees all clear, so that what it had opened comes to its end.
    """
    override = overrides.get(observation.rule, RuleOverride())
    return Ruled(
        rule=observation.rule,
        cluster=observation.cluster,
        database=observation.database,
        severity=override.severity or observation.severity,
        for_s=observation.for_s if override.for_s is None else override.for_s,
        finding=observation.finding if override.enabled else None,
    )


def choose_addressees(
    incident: Incident, notice: Event, routes: Iterable[Addressee]
) -> list[tuple[str, Event]]:
    """Which routes hear of `notice`, and as which event.

    A resolve goes to those that were told, whatever they want to hear of by now. A route that was
    never told gets a trigger even where the others get a repeat.
    """
    if notice == "resolve":
        return [(route.name, notice) for route in routes if route.name in incident.told]
    return [
        (route.name, notice if route.name in incident.told else "trigger")
        for route in routes
        if incident.severity in route.severities
    ]
