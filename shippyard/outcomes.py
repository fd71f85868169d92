"""Owns telling alerting how work ended: a failed backup is something wrong, like a failed check.

Backup knows no alerting and alerting no backup; they meet here.
"""

from shippyard.alerting.service import Alerting
from shippyard.backup.model import Kind
from shippyard.backup.service import BackupService
from shippyard.config.models import Config, Severity
from shippyard.health.model import Finding, Observation
from shippyard.host.process import Processes

BACKUP_FAILED = "backup_failed"


class Switchboard:
    """Passes observations to the alerting of the configuration that is lived under now.

    Work outlives a reload, and how it ends must reach whoever pages then.
    """

    current: Alerting | None = None

    def observe(self, seen: Observation) -> None:
        """Tell whoever pages now; before the first start there is nobody to tell."""
        if self.current is not None:
            self.current.observe(seen)


class BackupOutcomes:
    """Turns how backups end into observations: failing is a finding until each kind succeeds."""

    backups: BackupService

    def __init__(self, config: Config, switchboard: Switchboard, processes: Processes) -> None:
        self._config = config
        self._switchboard = switchboard
        self._processes = processes

    def tell(self, name: str, _: Kind, error: str | None) -> None:
        """An attempt ended."""
        database = self._config.database(name)
        if database is None or (error and self._processes.stopping):
            # A stop interrupts; the schedule makes up for it, so it wakes nobody.
            return
        finding = self._finding(name)
        severity: Severity = "page" if database.criticality == "critical" else "ticket"
        seen = Observation(BACKUP_FAILED, database.cluster, name, severity, 0.0, finding)
        self._switchboard.observe(seen)
        if error is None and finding is None:
            # An outcome is final: no second poll will come to confirm that all is clear.
            self._switchboard.observe(seen)

    def _finding(self, name: str) -> Finding | None:
        latest = {b.kind: b for b in reversed(self.backups.history(name)) if b.is_finished}
        failed = [b for b in latest.values() if b.state in ("failed", "missing", "damaged")]
        if not failed:
            return None
        first = failed[0]
        summary = (
            f"{first.kind} backup of {name} failed: {first.error}; "
            f"when mended, run: shippyard ctl backup run {name} --kind {first.kind}"
        )
        return Finding(summary, {"backups": [{"id": b.id, "error": b.error} for b in failed]})
