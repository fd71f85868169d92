"""Owns telling the limits that alerts go by, so that Prometheus's rules go by the same ones.

A rule compares with the series, not with a number of its own: what an operator sets for a check
holds there too.
"""

from collections.abc import Iterable, Mapping

from shippyard.config.models import RuleOverride
from shippyard.health.model import Check
from shippyard.telemetry.metrics import Metrics


def tell(checks: Iterable[Check], rules: Mapping[str, RuleOverride], metrics: Metrics) -> None:
    """Show limit and time of every alert that is told; those of a last configuration go."""
    metrics.alert_threshold.clear()
    metrics.alert_for.clear()
    for check in checks:
        if check.alert is None:
            continue
        override = rules.get(check.alert.rule, RuleOverride())
        if override.enabled:
            for_s = check.alert.for_s if override.for_s is None else override.for_s
            metrics.alert_threshold.labels(check.alert.rule).set(check.alert.when.limit)
            metrics.alert_for.labels(check.alert.rule).set(for_s)
