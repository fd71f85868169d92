"""Owns which routes hear of an incident: by severity, rule, database, environment, hour. Pure."""

import fnmatch
from collections.abc import Iterable
from datetime import datetime

from shippyard.alerting.incidents import Event, Incident
from shippyard.alerting.silences import is_within
from shippyard.config.alerting import Route


def choose_addressees(
    incident: Incident,
    notice: Event | None,
    routes: Iterable[Route],
    *,
    environment: str,
    zone: str,
    at: datetime,
) -> list[tuple[str, Event]]:
    """Which routes hear of `notice`, and as which event.

    What ends, or is taken on, is told to those that were told of it, whatever they want to hear of
    by now. A route that was never told gets a trigger even where others get a repeat, or nothing:
    so does one whose hours have just begun, or that is new.
    """
    routes = tuple(routes)
    if notice in ("resolve", "acknowledge"):
        return [(route.name, notice) for route in routes if route.name in incident.told]
    hearing = [route for route in routes if _hears(route, incident, environment, zone, at)]
    chosen: list[tuple[str, Event]] = []
    for route in hearing:
        if route.name not in incident.told:
            chosen.append((route.name, "trigger"))
        elif notice is not None:
            chosen.append((route.name, notice))
    return chosen


def _hears(route: Route, incident: Incident, environment: str, zone: str, at: datetime) -> bool:
    return (
        incident.severity in route.severities
        and _any_fits(incident.rule, route.rules)
        and _any_fits(incident.database, route.databases)
        and (not route.environments or environment in route.environments)
        and (not route.hours or any(is_within(each, at, zone) for each in route.hours))
    )


def _any_fits(name: str, patterns: Iterable[str]) -> bool:
    """Whether the last pattern that fits takes it in; one that begins with ! leaves it out."""
    taken = False
    for pattern in patterns:
        if fnmatch.fnmatchcase(name, pattern.removeprefix("!")):
            taken = not pattern.startswith("!")
    return taken
