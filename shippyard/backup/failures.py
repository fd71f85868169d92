"""Owns what is wrong with a subject's backups, told from its history. Pure."""

from collections.abc import Iterable, Sequence
from typing import Literal

from shippyard.backup.model import SPOILT, Backup
from shippyard.config.models import Config
from shippyard.telemetry.condition import Condition

RULE = "backup_failed"


def failed_condition(config: Config, subject: str, newest_first: Sequence[Backup]) -> Condition:
    """Failing is wrong until each kind has succeeded; all is well when the latest of each did."""
    latest = {b.kind: b for b in reversed(newest_first) if b.is_finished}
    failed = [backup for backup in latest.values() if backup.state in SPOILT]
    severity: Literal["page", "ticket"] = "page" if is_critical(config, subject) else "ticket"
    if not failed:
        return Condition(RULE, subject, None, severity)
    first = failed[0]
    summary = (
        f"{first.kind} backup of {subject} failed: {first.error}; "
        f"when mended, run: shippyard ctl backup run {subject} --kind {first.kind}"
    )
    evidence = {"backups": [{"id": b.id, "error": b.error} for b in failed]}
    return Condition(RULE, subject, summary, severity, evidence)


def is_critical(config: Config, subject: str) -> bool:
    """Whether a database, or any of a cluster, is critical."""
    return "critical" in _criticalities(config, subject)


def _criticalities(config: Config, subject: str) -> Iterable[str]:
    cluster = subject.removeprefix("@") if subject.startswith("@") else None
    for database in config.databases:
        if cluster == database.cluster or subject == database.name:
            yield database.criticality
