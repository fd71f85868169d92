"""Owns the words of health: check, metric, alert, finding, observation. Frozen, and no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from shippyard.config.models import Severity
from shippyard.health.when import Condition

Row = Mapping[str, Any]
"""One row of a check's answer, by column."""

Scope = Literal["instance", "database"]
"""`instance` checks are asked once per cluster, `database` checks in every database."""

Kind = Literal["gauge", "counter"]

ROWS = "rows"
"""The value that means "how many rows" wherever a column could be named."""


@dataclass(frozen=True)
class MetricSpec:
    """One metric of a check. `value` and `labels` are columns; `rows` as value counts the rows."""

    name: str
    help: str
    kind: Kind
    value: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class AlertSpec:
    """When a check's answer is a finding, and how grave that is.

    `summary` is a template: `{column}` of the first row found, with a format if wanted.
    """

    rule: str
    when: Condition
    for_s: float
    severity: Severity
    summary: str


@dataclass(frozen=True)
class Check:
    """A named SQL question, for PostgreSQL majors from `min_version` to `max_version` included."""

    name: str
    summary: str
    scope: Scope
    shape: str
    sql: str
    every_s: float
    timeout_s: float
    min_version: int
    max_version: int
    params: Mapping[str, float]
    metrics: tuple[MetricSpec, ...]
    alert: AlertSpec | None

    def applies_to(self, server_version: int) -> bool:
        """Whether this form fits a server; `server_version` is as `server_version_num`."""
        return self.min_version <= server_version // 10_000 <= self.max_version


@dataclass(frozen=True)
class Finding:
    """One thing wrong now. `summary` is for a tired person; `evidence` can be said in JSON."""

    summary: str
    evidence: Mapping[str, Any]


@dataclass(frozen=True)
class Observation:
    """One successful look at one alert rule; without a finding it is the all-clear."""

    rule: str
    cluster: str
    database: str
    severity: Severity
    for_s: float
    finding: Finding | None
