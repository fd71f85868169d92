"""Owns what a gate says. Knows no gate."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Answer = Literal["pass", "warn", "block", "unknown"]
Override = Literal["nobody", "approver", "emergency"]
"""Who may let it pass: nobody, an approver who names it, or two people in an emergency."""


@dataclass(frozen=True)
class Verdict:
    """One gate's answer. `summary` is one line; a blocking one says what to do next.

    `expires_at` is until when a pass holds, None where it is asked anew each time.
    """

    gate: str
    verdict: Answer
    summary: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    expires_at: datetime | None = None
    override: Override = "nobody"

    def document(self) -> dict[str, Any]:
        """The verdict in JSON."""
        return {
            "gate": self.gate,
            "verdict": self.verdict,
            "summary": self.summary,
            "evidence": dict(self.evidence),
            "expires_at": self.expires_at.isoformat() if self.expires_at else None,
            "override": self.override,
        }
