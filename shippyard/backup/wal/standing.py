"""Owns the shape of how a cluster's WAL stands now. Who looks, and who tells it, is not known."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

WalState = Literal[
    "receiving", "archiving", "waiting", "refused", "stopped", "not begun", "unknown"
]


@dataclass(frozen=True)
class WalStanding:
    """One cluster's WAL. What is unknown is None.

    `last_segment` is the newest whole one that is kept here. `gaps` are those that still matter,
    `trouble` is what keeps it from arriving or from leaving the machine, in one line.
    """

    state: WalState
    last_segment: str | None = None
    received_until: datetime | None = None
    shipped_until: datetime | None = None
    gaps: int | None = None
    trouble: str | None = None
