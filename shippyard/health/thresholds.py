"""Owns telling the limits that alerts go by, so that Prometheus's rules go by the same ones.

A rule compares with the series, not with a number of its own: what an operator sets for a check
holds there too.
"""

from collections.abc import Iterable, Mapping

from shippyard.config.alerting import RuleOverride
from shippyard.health.model import Check
from shippyard.telemetry.metrics import Metrics


class Thresholds:
    """Shows limit and time of every alert that is told, from start to stop."""

    def __init__(
        self, checks: Iterable[Check], rules: Mapping[str, RuleOverride], metrics: Metrics
    ) -> None:
        self._checks = tuple(checks)
        self._rules = rules
        self._metrics = metrics

    def start(self) -> None:
        """Show them."""
        for check in self._checks:
            if check.alert is None:
                continue
            override = self._rules.get(check.alert.rule, RuleOverride())
            if override.enabled:
                for_s = check.alert.for_s if override.for_s is None else override.for_s
                self._metrics.alert_threshold.labels(check.alert.rule).set(check.alert.when.limit)
                self._metrics.alert_for.labels(check.alert.rule).set(for_s)

    def stop(self) -> None:
        """Show none any more, for another configuration may have others."""
        self._metrics.alert_threshold.clear()
        self._metrics.alert_for.clear()
