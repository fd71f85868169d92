"""Owns what a rehearsal gathers while it goes on, and making its report of it."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from shippyard.migration.known import Known, tools_of
from shippyard.migration.rehearsal.report import Passage, Passed, Report

ERROR_MAX_CHARS = 2000
LINES_MAX = 500


@dataclass
class Findings:
    """What was found out so far. `known` is None until there is a plan."""

    started_at: datetime
    known: Known | None
    backup_id: str = ""
    size_bytes: int = 0
    outcome: Passed = "interrupted"
    error: str | None = None
    passages: list[Passage] = field(default_factory=list)
    schema_differences: list[str] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    unproven: list[str] = field(default_factory=list)
    slower: list[str] = field(default_factory=list)
    differs: list[str] = field(default_factory=list)
    changed: tuple[str, ...] = ()
    revision_elapsed_s: Mapping[str, float] = field(default_factory=dict)

    def end(self, outcome: Passed, error: str | None = None) -> None:
        """How it ended."""
        self.outcome, self.error = outcome, error

    def report(self, known: Known, finished_at: datetime, phases: Mapping[str, float]) -> Report:
        """All of it, bounded."""
        plan, seen = known.prepared.plan, known.prepared.seen
        tools = tools_of(seen.server_version)
        return Report(
            id=f"{self.started_at:%Y%m%dT%H%M%SZ}-rehearsal-{secrets.token_hex(3)}",
            database=plan.database,
            content_hash=plan.content_hash,
            from_revision=plan.current,
            to_revision=plan.target,
            fingerprint=seen.fingerprint or "",
            system_identifier=seen.system_identifier,
            backup_id=self.backup_id,
            tools=", ".join(f"{name} {version}" for name, version in sorted(tools.items())),
            started_at=self.started_at,
            finished_at=finished_at,
            outcome=self.outcome,
            error=self.error[:ERROR_MAX_CHARS] if self.error else None,
            passages=tuple(self.passages),
            schema_differences=tuple(self.schema_differences[:LINES_MAX]),
            losses=tuple(self.losses[:LINES_MAX]),
            slower=tuple(self.slower[:LINES_MAX]),
            revision_elapsed_s=dict(self.revision_elapsed_s),
            size_bytes=self.size_bytes,
            differs=tuple(self.differs[:LINES_MAX]),
            phases=dict(phases),
            unproven=tuple(self.unproven[:LINES_MAX]),
            changed=self.changed[:LINES_MAX],
        )
