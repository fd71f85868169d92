"""Owns what was asked for: a run of which plan, by whom, which way, and of which run before it."""

from dataclasses import dataclass

from shippyard.migration.journal import Run
from shippyard.migration.spec import Way


@dataclass(frozen=True)
class Requester:
    """Who asks, as the kernel said it."""

    uid: int
    user: str


@dataclass(frozen=True)
class Order:
    """One wish to run a plan.

    `of_run` is the run that this one takes back (`way` is down) or goes on with (`way` is up).
    """

    by: Requester
    emergency: bool = False
    way: Way = "up"
    of_run: Run | None = None


NOBODY = Requester(65534, "nobody")
"""Who asks when nobody in particular does: no approval of theirs counts."""
