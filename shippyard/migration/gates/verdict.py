"""Owns what a gate says. Knows no gate."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Answer = Literal["pass", "warn", "block", "unknown"]


@dataclass(frozen=True)
class Verdict:
    """One gate's answer. `summary` is one line; a blocking one says what to do next."""

    gate: str
    verdict: Answer
    summary: str
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The verdict in JSON."""
        return {
            "gate": self.gate,
            "verdict": self.verdict,
            "summary": self.summary,
            "evidence": dict(self.evidence),
        }
