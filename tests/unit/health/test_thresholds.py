"""Limits are told as they are configured, and only of alerts that are told."""

from shippyard.config.alerting import RuleOverride
from shippyard.config.models import CheckOverride, Health
from shippyard.health.loader import load_checks
from shippyard.health.thresholds import Thresholds
from shippyard.telemetry.metrics import Metrics


def test_what_config_sets_is_what_is_told() -> None:
    metrics = Metrics()
    near = {"connection_limits": CheckOverride(params={"near_limit_ratio": 0.5})}
    rules = {
        "connections_near_limit": RuleOverride(for_s=7),
        "long_running": RuleOverride(enabled=False),
    }

    def told(name: str, rule: str) -> float | None:
        labels = {"rule": rule}
        return metrics.registry.get_sample_value(f"shippyard_health_alert_{name}", labels)

    first = Thresholds(load_checks(Health()), {}, metrics)
    first.start()
    assert told("threshold", "connections_near_limit") == 0.9
    assert told("threshold", "long_running") is not None
    first.stop()
    assert told("threshold", "long_running") is None
    Thresholds(load_checks(Health(checks=near)), rules, metrics).start()
    assert told("threshold", "connections_near_limit") == 0.5
    assert told("for_seconds", "connections_near_limit") == 7
    assert told("for_seconds", "blocked") == 10
    assert told("threshold", "long_running") is None
