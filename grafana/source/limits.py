"""Owns where colours change: at the limits of the alerts, which are read and never typed again."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from grafana.source.model import Colour, Step
from shippyard.config.models import Health
from shippyard.health.loader import load_checks

RULES = Path(__file__).parents[2] / "config" / "prometheus" / "shippyard.rules.yml"
_COLOURS: dict[str, Colour] = {"page": "red", "ticket": "orange"}
_NUMBER = re.compile(r"> *(\d+(?:\.\d+)?(?:e\d+)?)(?: \* (\d+))?(?=\s|$)")


def of_check(rule: str) -> tuple[Step, ...]:
    """Where the alert of a check begins, in the colour of its severity."""
    alert = _alerts()[rule]
    return (Step(alert[0], _COLOURS[alert[1]]),)


def of_rule(name: str, which: int = 0) -> tuple[Step, ...]:
    """Where a rule of Prometheus begins: `which` counts the numbers that it compares with.

    A limit of 0 means anything at all, so its colour begins at 1.
    """
    rule = _rules()[name]
    value, factor = _NUMBER.findall(rule["expr"])[which]
    limit = float(value) * float(factor or 1)
    return (Step(limit or 1.0, _COLOURS[rule["labels"]["severity"]]),)


@cache
def _alerts() -> dict[str, tuple[float, str]]:
    alerts = [check.alert for check in load_checks(Health()) if check.alert]
    return {alert.rule: (alert.when.limit, alert.severity) for alert in alerts}


@cache
def _rules() -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}
