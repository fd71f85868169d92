"""Owns a plan with all that is known of it and what the gates say, as JSON has it."""

from dataclasses import dataclass
from typing import Any

from shippyard.migration.approvals.model import Standing
from shippyard.migration.gates.verdict import Verdict
from shippyard.migration.known import Known
from shippyard.migration.plan import Plan, Revision
from shippyard.migration.rehearsal.report import Passage, Report


@dataclass(frozen=True)
class Judged:
    """A plan with what the gates say of it now; `blocking` is None when it may run."""

    known: Known
    approvals: Standing | None
    verdicts: tuple[Verdict, ...]
    blocking: Verdict | None

    @property
    def plan(self) -> Plan:
        """The plan alone."""
        return self.known.prepared.plan

    def document(self) -> dict[str, Any]:
        """For JSON."""
        plan, report = self.plan, self.known.rehearsal
        return {
            "database": plan.database,
            "current": plan.current,
            "target": plan.target,
            "revisions": [_revision(plan, revision) for revision in plan.revisions],
            "content_hash": plan.content_hash,
            "plan_hash": self.known.plan_hash,
            "hazards": [hazard.document() for hazard in self.known.hazards],
            "rehearsal": _rehearsal(report) if report else None,
            "approved_by": list(self.approvals.by) if self.approvals else [],
            "verdicts": [verdict.document() for verdict in self.verdicts],
            "blocked": self.blocking is not None,
        }


def _revision(plan: Plan, revision: Revision) -> dict[str, Any]:
    up, down = plan.rendered[revision.revision], plan.undo[revision.revision]
    return {
        "revision": revision.revision,
        "file": revision.file,
        "doc": revision.doc,
        "reversible": revision.reversible,
        "sql": up.sql,
        "unrendered": up.unrendered,
        "undo": down.sql,
        "undo_unrendered": down.unrendered,
    }


def _rehearsal(report: Report) -> dict[str, Any]:
    return {
        "id": report.id,
        "outcome": report.outcome,
        "finished_at": report.finished_at.isoformat(),
        "elapsed_s": (report.finished_at - report.started_at).total_seconds(),
        "backup_id": report.backup_id,
        "comes_back": report.comes_back,
        "lines": [*(_passage(each) for each in report.passages), *report.losses, *report.slower],
    }


def _passage(passage: Passage) -> str:
    blocked = passage.recorded.blocked
    writes_ms = max((each.writes_ms for each in blocked), default=0.0)
    reads_ms = max((each.reads_ms for each in blocked), default=0.0)
    kinds = ", ".join(passage.kinds) or "nothing to classify"
    said = passage.error or f"{kinds}; blocks writes {writes_ms:.0f} ms, reads {reads_ms:.0f} ms"
    return f"{passage.way}: {said}"
