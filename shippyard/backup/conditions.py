"""Owns what the backup room can find wrong, and how it says so. Who listens is not known here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

RULES = (
    "backup_failed",
    "backup_late",
    "backup_untrusted",
    "drill_failed",
    "restore_running",
    "restore_slow",
    "loss_over_objective",
    "wal_gap",
    "wal_slot",
    "offsite_failed",
)
"""Alert rules that this room can break; each has its section in docs/runbooks.md."""


@dataclass(frozen=True)
class Condition:
    """One look at one rule for one subject; `summary` None says that all is well.

    A subject is a database by its name in config, or `@cluster`. Both outcomes are told: nothing
    ends before it was seen to be over.
    """

    rule: str
    subject: str
    summary: str | None
    severity: Literal["page", "ticket"] = "page"
    evidence: Mapping[str, Any] = field(default_factory=dict)


Tell = Callable[[Condition], None]
