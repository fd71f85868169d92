"""Owns what the metrics say of drills and promises: what is remembered, never what was said before.

What is unknown is absent.
"""

from collections.abc import Iterable, Mapping

from prometheus_client import Gauge

from shippyard.backup.drill.model import Drill
from shippyard.backup.drill.objectives import Objective
from shippyard.backup.model import Kind
from shippyard.telemetry.metrics import Metrics

PHASES = ("fetch", "prepare", "unpack", "restore", "replay", "promote", "check", "total")
"""`total` is all but `check`: until the database reads and writes."""
LOSSES = ("cluster", "machine")


class DrillGauges:
    """The drill metrics. Safe from any thread."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def show(self, subject: str, kind: Kind, last: Drill | None, passed: Drill | None) -> None:
        """Say how the last drill ended, and what the last one that passed measured."""
        labels = (subject, kind)
        if last is None:
            self._metrics.drill_success.remove(*labels)
        else:
            self._metrics.drill_success.labels(*labels).set(last.outcome == "passed")
        if passed is None or passed.finished_at is None:
            self._metrics.drill_last_success.remove(*labels)
        else:
            at = passed.finished_at.timestamp()
            self._metrics.drill_last_success.labels(*labels).set(at)
        self._show_measured(labels, last)

    def show_forecast(self, subject: str, kind: Kind, forecast_s: float | None) -> None:
        """Say how long a restore would take now."""
        _set(self._metrics.restore_forecast, forecast_s, subject, kind)

    def show_loss(self, database: str, losses: Mapping[str, float | None]) -> None:
        """Say what would be lost now."""
        for loss in LOSSES:
            _set(self._metrics.loss_now, losses.get(loss), database, loss)

    def show_objective(self, database: str, objective: Objective) -> None:
        """Say what is promised."""
        self._metrics.objective.labels(database, "rpo").set(objective.rpo_s)
        self._metrics.objective.labels(database, "rto").set(objective.rto_s)

    def forget(self, subjects: Iterable[tuple[str, Iterable[Kind]]]) -> None:
        """Say nothing more of subjects that left the configuration."""
        for subject, kinds in subjects:
            for kind in kinds:
                self.show(subject, kind, None, None)
                self.show_forecast(subject, kind, None)
            self.show_loss(subject, {})
            for objective in ("rpo", "rto"):
                self._metrics.objective.remove(subject, objective)

    def _show_measured(self, labels: tuple[str, str], last: Drill | None) -> None:
        phases = dict(last.report.get("phases", {})) if last else {}
        if last and last.rto_s is not None:
            phases["total"] = last.rto_s
        for phase in PHASES:
            _set(self._metrics.drill_rto, phases.get(phase), *labels, phase)
        lost = {"cluster": last.rpo_cluster_s, "machine": last.rpo_machine_s} if last else {}
        for loss in LOSSES:
            _set(self._metrics.drill_rpo, lost.get(loss), *labels, loss)


def _set(gauge: Gauge, value: float | None, *labels: str) -> None:
    if value is None:
        gauge.remove(*labels)
    else:
        gauge.labels(*labels).set(value)
