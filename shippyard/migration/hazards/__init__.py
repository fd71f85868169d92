"""Hazards that can be told from a migration's text, before anything runs."""

from collections.abc import Mapping

from shippyard.migration.hazards.model import Hazard, Level
from shippyard.migration.plan import Plan

__all__ = ["Hazard", "Level", "find_hazards"]


def find_hazards(plan: Plan, files: Mapping[str, bytes]) -> tuple[Hazard, ...]:
    """All that a plan's text shows, in the order of its revisions, each way."""
    del plan, files
    return ()
