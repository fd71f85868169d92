"""Owns what kind of change a passage is."""

from collections.abc import Mapping, Sequence

from shippyard.migration.hazards.model import Hazard
from shippyard.migration.rehearsal.report import Kind, Recorded, Way


def classify(
    way: Way,
    objects_before: Mapping[str, str],
    objects_after: Mapping[str, str],
    recorded: Recorded,
    changed: Sequence[str],
    hazards: Sequence[Hazard],
    *,
    comes_back: bool,
) -> tuple[Kind, ...]:
    """The kinds."""
    return ()
