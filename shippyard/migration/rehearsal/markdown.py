"""Owns a report as a pull request has it."""

from collections.abc import Sequence

from shippyard.migration.hazards.model import Hazard
from shippyard.migration.rehearsal.report import Report


def as_markdown(report: Report, hazards: Sequence[Hazard] = ()) -> str:
    """The summary."""
    return ""
