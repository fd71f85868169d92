"""Owns which questions dashboards and rules put to Prometheus, filled in as Grafana does it.

Pure: files in, questions out; and what becomes of them once it is known who answered. A question
may stay without an answer only where `expected_empty.toml` says why.
"""

import json
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from shippyard.config.models import Health
from shippyard.health.loader import load_checks
from shippyard.telemetry.metrics import Metrics

ROOT = Path(__file__).resolve().parents[2]
DASHBOARDS = ROOT / "grafana" / "dashboards"
RULES = ROOT / "config" / "prometheus" / "shippyard.rules.yml"
EXPECTED = Path(__file__).with_name("expected_empty.toml")

OUTSIDE = frozenset(
    {
        "up",
        "ALERTS",
        "process_start_time_seconds",
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
    }
)

_LABEL_VALUES = re.compile(r"label_values\((.+), *(\w+)\)")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_METRIC = re.compile(r"\b((?:shippyard|process)_\w+|up|ALERTS)\b(\{[^}]*\})?")


@dataclass(frozen=True)
class Question:
    """One query. Of a rule it is each selector in it, for a rule is quiet when all is well."""

    source: Literal["panel", "variable", "annotation", "rule"]
    where: str
    expr: str

    @property
    def metrics(self) -> frozenset[str]:
        """The names in it."""
        return frozenset(name for name, _ in _METRIC.findall(_STRING.sub('""', self.expr)))


def questions(rate_interval: str) -> list[Question]:
    """All of them, once each."""
    found = [*_of_dashboards(rate_interval), *_of_rules()]
    return list({(each.source, each.expr): each for each in found}.values())


def unanswered(
    asked: Collection[Question],
    answered: Collection[Question],
    why: Mapping[str, str],
    known: Collection[str],
) -> list[Question]:
    """What got no answer though nothing says that it may not; `why` is by metric or by place.

    Nothing excuses a metric that is not among the `known` ones.
    """
    silent = [each for each in asked if each not in answered]
    return [each for each in silent if each.metrics - set(known) or not _excused(each, why)]


def _excused(each: Question, why: Mapping[str, str]) -> bool:
    return each.where in why or bool(each.metrics & why.keys())


def known_metrics() -> frozenset[str]:
    """Every name that a daemon may show, by its declarations."""
    of_checks = {metric.name for check in load_checks(Health()) for metric in check.metrics}
    return OUTSIDE | {each.name for each in Metrics().declared} | of_checks


def needless(
    asked: Collection[Question], answered: Collection[Question], why: Mapping[str, str]
) -> list[str]:
    """Reasons that nobody needs: all that they excuse was answered."""
    silent = [each for each in asked if each not in answered]
    used = {each.where for each in silent} | {name for each in silent for name in each.metrics}
    return sorted(set(why) - used)


def expected_empty() -> Mapping[str, str]:
    """Why a metric or a panel has nothing to show where the proof runs."""
    reasons: dict[str, str] = tomllib.loads(EXPECTED.read_text())["why"]
    return reasons


def _of_dashboards(rate_interval: str) -> Iterator[Question]:
    for file in sorted(DASHBOARDS.glob("*.json")):
        page = json.loads(file.read_text())
        for panel in page["panels"]:
            for target in panel.get("targets", []):
                expr = _filled(target["expr"], rate_interval)
                yield Question("panel", f"{page['uid']}: {panel['title']}", expr)
        yield from _of_page(page, rate_interval)


def _of_page(page: Mapping[str, Any], rate_interval: str) -> Iterator[Question]:
    for note in page["annotations"]["list"]:
        where = f"{page['uid']}: marks {note['name']}"
        yield Question("annotation", where, _filled(note["expr"], rate_interval))
    for variable in page["templating"]["list"]:
        if variable["type"] == "query":
            found = _LABEL_VALUES.fullmatch(variable["query"]["query"])
            assert found, variable["query"]
            expr = f"count by ({found[2]}) ({_filled(found[1], rate_interval)})"
            yield Question("variable", f"{page['uid']}: {variable['name']}", expr)


def _of_rules() -> Iterator[Question]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    for rule in (rule for group in groups for rule in group["rules"]):
        bare = re.sub(r"\b(?:on|by|without|ignoring)\s*\([^)]*\)", "", rule["expr"])
        for name, matchers in _METRIC.findall(bare):
            yield Question("rule", rule["alert"], f"{name}{matchers}")


def _filled(expr: str, rate_interval: str) -> str:
    filled = expr.replace("$__rate_interval", rate_interval)
    for name in ("job", "instance", "database"):
        filled = filled.replace(f"${name}", ".*")
    return filled
