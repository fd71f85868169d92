"""Owns what is promised for a database by its criticality, and when that is not kept. Pure.

What may be lost is promised for the loss of the whole machine: a copy on the disk that dies with
the server helps nobody.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from shippyard.config.models import Criticality

MINUTE_S = 60.0
HOUR_S = 60 * MINUTE_S
WARN_RATIO = 0.5
"""Of what may be lost: from here on somebody has time to mend it before the promise is broken."""


@dataclass(frozen=True)
class Objective:
    """How much may be lost, and how long a restore may take."""

    rpo_s: float
    rto_s: float


OBJECTIVES: Mapping[Criticality, Objective] = MappingProxyType(
    {
        "critical": Objective(15 * MINUTE_S, 4 * HOUR_S),
        "important": Objective(HOUR_S, 24 * HOUR_S),
        "normal": Objective(24 * HOUR_S, 72 * HOUR_S),
    }
)


def strictest(criticalities: Iterable[Criticality]) -> Objective:
    """The objective of a cluster: that of its most critical database."""
    return min((OBJECTIVES[each] for each in criticalities), key=lambda each: each.rpo_s)


def judge_loss(loss_s: float | None, objective: Objective, of: str = "machine") -> str | None:
    """What to say when too much would be lost; None while it is less than half of what may be."""
    if loss_s is None or loss_s < objective.rpo_s * WARN_RATIO:
        return None
    soon = "" if loss_s > objective.rpo_s else ", soon too much"
    return (
        f"losing the {of} now would lose {said(loss_s)}{soon}; "
        f"at most {said(objective.rpo_s)} is promised"
    )


def judge_time(forecast_s: float | None, objective: Objective) -> str | None:
    """What to say when a restore would take too long; None while it would not, or nobody knows."""
    if forecast_s is None or forecast_s <= objective.rto_s:
        return None
    return (
        f"a restore would take about {said(forecast_s)}; "
        f"at most {said(objective.rto_s)} is promised"
    )


def said(seconds: float) -> str:
    """A length of time in words."""
    if seconds < 2 * MINUTE_S:
        return f"{seconds:.0f} s"
    if seconds < 2 * HOUR_S:
        return f"{seconds / MINUTE_S:.0f} min"
    return f"{seconds / HOUR_S:.1f} h"
