"""Owns the words of health: check, metric, alert, finding, observation. Frozen, and no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from shippyard.config.alerting import Severity
from shippyard.health.when import Condition

Row = Mapping[str, Any]
"""One row of a check's answer, by column."""

Scope = Literal["instance", "database"]
"""`instance` checks are asked once per cluster, `database` checks in every database."""

Kind = Literal["gauge", "counter"]

Cadence = Literal["fast", "medium", "slow"]
"""How often a check is asked when its file says no more: each 5 s, 30 s, 15 min."""

Need = Literal["public", "pg_monitor", "select"]
"""The least that the login must have; `select` is pg_monitor and SELECT on what is looked at."""

EXTENSION_SCHEMA = "{extension_schema}"
"""Stands in the SQL of a check for the schema that its extension was installed into."""

SERIES_MAX = 300

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

    `summary` is a template: `{column}` of the first row found, with a format if wanted. `subject`
    is the column that says what a row is about, when that outlives sessions: each is a finding.
    """

    rule: str
    when: Condition
    for_s: float
    severity: Severity
    summary: str
    subject: str | None = None


@dataclass(frozen=True)
class Form:
    """The SQL of a check for majors from `min_version` on, up to the next form's."""

    min_version: int
    sql: str


@dataclass(frozen=True)
class Check:
    """A named SQL question, for PostgreSQL majors from `min_version` to `max_version` included.

    `forms` are in the order of their versions. `series_max` is how many series it may show.
    `is_shipped` is false for an operator's own.
    """

    name: str
    summary: str
    scope: Scope
    shape: str
    forms: tuple[Form, ...]
    every_s: float
    timeout_s: float
    min_version: int
    max_version: int
    params: Mapping[str, float]
    metrics: tuple[MetricSpec, ...]
    alert: AlertSpec | None
    cadence: Cadence = "fast"
    role: Need = "pg_monitor"
    extension: str | None = None
    series_max: int = SERIES_MAX
    is_shipped: bool = True

    def applies_to(self, server_version: int) -> bool:
        """Whether it can be asked of a server; `server_version` is as `server_version_num`."""
        return self._form(server_version) is not None

    def sql_for(self, server_version: int) -> str:
        """What to ask a server that it applies to.

        Raises:
            LookupError: it does not apply.
        """
        form = self._form(server_version)
        if form is None:
            raise LookupError(f"{self.name} has no form for {server_version}")
        return form.sql

    def _form(self, server_version: int) -> Form | None:
        major = server_version // 10_000
        if not self.min_version <= major <= self.max_version:
            return None
        fitting = [form for form in self.forms if form.min_version <= major]
        return fitting[-1] if fitting else None


@dataclass(frozen=True)
class Lack:
    """Why a check can't be asked here, which nobody mends by asking again. `says` what would."""

    reason: Literal["extension", "privilege"]
    says: str


@dataclass(frozen=True)
class Finding:
    """One thing wrong now. `summary` is for a tired person; `evidence` can be said in JSON."""

    summary: str
    evidence: Mapping[str, Any]


@dataclass(frozen=True)
class Observation:
    """One successful look at one alert rule; without a finding it is the all-clear.

    `parts` are the findings by what each is about, where that outlives sessions.
    """

    rule: str
    cluster: str
    database: str
    severity: Severity
    for_s: float
    finding: Finding | None
    parts: Mapping[str, Finding] = field(default_factory=dict)
