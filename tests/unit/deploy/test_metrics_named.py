"""Dashboards and rules name only metrics that exist, with labels that these have."""

import json
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from shippyard.telemetry.metrics import Metrics

ROOT = Path(__file__).parents[3]
DASHBOARDS = sorted((ROOT / "grafana" / "dashboards").glob("*.json"))
RULES = sorted((ROOT / "config" / "prometheus").glob("*.rules.yml"))

SCRAPED = frozenset({"job", "instance"})
OUTSIDE = {
    "up": frozenset[str](),  # Prometheus makes it of every scrape
    "ALERTS": frozenset[str](),
    "process_resident_memory_bytes": frozenset[str](),
    "process_cpu_seconds_total": frozenset[str](),
    "process_start_time_seconds": frozenset[str](),
}
WORDS = {"and", "or", "unless", "on", "ignoring", "by", "without", "offset", "bool"}
STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\([^)]*\)")
SELECTOR = re.compile(r"(?<![\w$])([a-zA-Z_:][\w:]*)(?![\w:]*\s*\()(?:\s*\{([^}]*)\})?")


@cache
def declared() -> dict[str, frozenset[str]]:
    """Labels by metric, for all that `/metrics` can show."""
    return {**OUTSIDE, **of_the_daemon(), **of_the_checks()}


def of_the_daemon() -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    instruments = [v for v in vars(Metrics()).values() if isinstance(v, MetricWrapperBase)]
    for instrument in instruments:
        labels = frozenset(instrument._labelnames)
        for name in names_of(instrument):
            found[name] = labels | ({"le"} if name.endswith("_bucket") else set())
    return found


def names_of(instrument: MetricWrapperBase) -> list[str]:
    suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
    kind = str(instrument._type)
    return [instrument._name + end for end in suffixes.get(kind, [""])]


def of_the_checks() -> dict[str, frozenset[str]]:
    files = (ROOT / "shippyard" / "health" / "checks").glob("*.toml")
    return {
        metric["name"]: given_to(check) | set(metric.get("labels", []))
        for check in (tomllib.loads(file.read_text()) for file in files)
        for metric in metrics_in(check)
    }


def given_to(check: dict[str, Any]) -> frozenset[str]:
    """Labels that the poller puts on all samples of a check."""
    of_cluster = check.get("scope", "instance") == "instance"
    return frozenset({"database", "cluster"} if of_cluster else {"database"})


def metrics_in(check: dict[str, Any]) -> list[dict[str, Any]]:
    found = check["metric"]
    return [found] if isinstance(found, dict) else list(found)


def selectors(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Every metric in a PromQL expression, with the labels it is matched by."""
    bare = re.sub(r"\[[^\]]*\]", "", GROUPING.sub("", STRING.sub('""', expression)))
    for name, matchers in SELECTOR.findall(bare):
        if name not in WORDS:
            yield name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))


def rules() -> list[dict[str, Any]]:
    groups = [
        group for file in RULES for group in yaml.load(file.read_text(), yaml.CSafeLoader)["groups"]
    ]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    return [panel for file in DASHBOARDS for panel in json.loads(file.read_text())["panels"]]


def expressions() -> list[str]:
    targets = [target for panel in panels() for target in panel.get("targets", [])]
    return [target["expr"] for target in targets] + [rule["expr"] for rule in rules()]


def problems_of(expression: str, known: dict[str, frozenset[str]]) -> list[str]:
    found = []
    for name, labels in selectors(expression):
        if name not in known:
            found.append(f"no metric {name} in: {expression}")
        elif strange := labels - known[name] - SCRAPED:
            found.append(f"{name} has no label {sorted(strange)} in: {expression}")
    return found


def test_there_is_something_to_look_at() -> None:
    assert len(expressions()) > 50
    assert all(any(selectors(expression)) for expression in expressions())


def test_every_metric_named_exists_with_these_labels() -> None:
    known = declared()
    assert [p for expression in expressions() for p in problems_of(expression, known)] == []


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("sum by (le, no) (rate(shippyard_nothing[5m]))", "no metric shippyard_nothing"),
        ('shippyard_backup_published{colour="red"} > 1h', "has no label ['colour']"),
        ("up unless on (x) shippyard_wrong offset 1h", "no metric shippyard_wrong"),
    ],
)
def test_a_wrong_name_would_be_seen(expression: str, said: str) -> None:
    (problem,) = problems_of(expression, declared())
    assert said in problem


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_a_summary_uses_labels_that_its_series_have(rule: dict[str, Any]) -> None:
    used = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    known = declared()
    offered = [known[name] for name, _ in selectors(rule["expr"])]
    assert used <= SCRAPED.union(*offered)


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: str(panel["title"]))
def test_a_legend_uses_labels_that_its_series_have(panel: dict[str, Any]) -> None:
    known = declared()
    for target in panel.get("targets", []):
        used = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        offered = [known[name] for name, _ in selectors(target["expr"])]
        assert used <= SCRAPED.union(*offered)
