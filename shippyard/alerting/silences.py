"""Owns what nobody is told of for a while: silences that people make, and hours that config names.

Pure. A silenced incident lives on as ever, is recorded, counted and listed; only no message goes
out. What fires still when the silence is over is told then.
"""

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from shippyard.config.alerting import Hours, Quiet
from shippyard.config.calendar import DAYS, END_OF_DAY

FIELDS = ("rule", "cluster", "database", "subject", "severity", "id")
"""What of an incident a silence can name."""
LENGTH_MAX = timedelta(days=30)
"""What should be quiet for longer is a rule to switch off, where all can see it."""


@dataclass(frozen=True)
class Silence:
    """Until `ends_at` nobody is told of what all patterns of `match` fit, by field."""

    id: str
    match: Mapping[str, str]
    why: str
    made_by: str
    begins_at: datetime
    ends_at: datetime


def silenced_by(
    facts: Mapping[str, str],
    at: datetime,
    silences: Iterable[Silence],
    quiet: Iterable[Quiet] = (),
    zone: str = "UTC",
) -> str | None:
    """Which silence, or which of config's hours, covers what `facts` say; None when none does."""
    for silence in silences:
        if silence.begins_at <= at < silence.ends_at and fits(silence.match, facts):
            return silence.id
    for hours in quiet:
        if is_within(hours, at, zone) and fits(hours.match, facts):
            return hours.name
    return None


def is_usable(match: object) -> bool:
    """Whether it is what `fits` takes; what stands in a file may be anything."""
    return isinstance(match, dict) and all(isinstance(each, str) for each in match.values())


def fits(match: Mapping[Any, str], facts: Mapping[str, str]) -> bool:
    """Whether every pattern fits; one without patterns fits nothing."""
    return bool(match) and all(
        fnmatch.fnmatchcase(facts.get(field, ""), pattern) for field, pattern in match.items()
    )


def is_within(hours: Hours, at: datetime, zone: str) -> bool:
    """Whether the span is open at `at`, by the clock of `zone`."""
    local = at.astimezone(ZoneInfo(zone))
    now = local.strftime("%H:%M")
    today = DAYS[local.weekday()] in hours.days
    yesterday = DAYS[local.weekday() - 1] in hours.days
    ends = hours.to if hours.to > hours.from_ else END_OF_DAY
    is_late = today and hours.from_ <= now < ends
    goes_over_midnight = hours.to <= hours.from_
    return is_late or (goes_over_midnight and yesterday and now < hours.to)
