"""docs/configuration.md says of every setting what the models say: name, default, bounds."""

import re
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin

import pytest
from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from shippyard.config import alerting, calendar, models
from shippyard.config.base import Model
from shippyard.config.loading import VARIABLES
from shippyard.config.migration import Migration

MANUAL = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text()

SECTIONS: dict[str, type[Model]] = {
    "(top level)": models.Config,
    "[daemon]": models.Daemon,
    "[log]": models.Log,
    "[http]": models.Http,
    "[control]": models.Control,
    "[[databases]]": models.Database,
    "Logins: `monitor`, `backup`, `migrator`, `replication`, `canary`": models.Login,
    "[backup]": models.Backup,
    "Retention: [backup.keep]": models.Keep,
    "Retention by kind: [backup.keep_by_kind]": models.KeepByKind,
    "Dumps: [backup.dump]": models.Dump,
    "[backup.clusters.NAME]": models.ClusterBackup,
    "[backup.offsite]": models.Offsite,
    "Sandboxes: [backup.sandbox]": models.Sandbox,
    "Drills: [backup.drill]": models.Drill,
    "[health]": models.Health,
    "[health.checks.NAME]": models.CheckOverride,
    "[alerting]": alerting.Alerting,
    "[[alerting.routes]]": alerting.Route,
    "mail, of a route": alerting.Mail,
    "hours, of a route": alerting.Hours,
    "[[alerting.quiet]]": alerting.Quiet,
    "[alerting.rules.NAME]": alerting.RuleOverride,
    "[migration]": Migration,
    "[calendar]": calendar.Calendar,
    "[[calendar.windows]]": calendar.Window,
    "[[calendar.freezes]]": calendar.Freeze,
    "[access]": models.Access,
    "[sentry]": models.Sentry,
}


def rows_of(heading: str) -> dict[str, list[str]]:
    """The table below a heading: cells by setting."""
    body = MANUAL.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [re.split(r"(?<!\\)\|", line) for line in body.splitlines() if line.startswith("| `")]
    return {cells[1].strip(" `"): [cell.strip() for cell in cells[2:-1]] for cells in rows}


def is_a_section(field: FieldInfo) -> bool:
    """Whether a top-level field is a table with a heading of its own."""
    annotation: Any = field.annotation
    options = get_args(annotation) if get_origin(annotation) is UnionType else (annotation,)
    return any(option in SECTIONS.values() for option in options)


def fields_of(model: type[Model]) -> dict[str, FieldInfo]:
    """Fields by the names that a file uses."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def expected_settings(model: type[Model]) -> set[str]:
    fields = fields_of(model).items()
    if model is models.Config:
        return {name for name, field in fields if not is_a_section(field)}
    return {name for name, _ in fields}


def default_of(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, Model):
        return "see there"
    if value is None:
        return "unset"
    if value == {}:
        return "none"
    return f"`{toml(value)}`"


def toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.12g}"
    if isinstance(value, tuple):
        return f"[{', '.join(toml(item) for item in value)}]"
    return str(value) if isinstance(value, int) else f'"{value}"'


def bounds_of(field: FieldInfo) -> str:
    return ", ".join(text for text in map(bound, field.metadata) if text)


def bound(constraint: object) -> str:
    match constraint:
        case Ge(limit):
            return f"≥ {limit:g}"
        case Gt(limit):
            return f"> {limit:g}"
        case Le(limit):
            return f"≤ {limit:g}"
        case Lt(limit):
            return f"< {limit:g}"
        case MinLen(least):
            return f"at least {least}"
        case _:
            return ""


def test_every_model_has_a_section() -> None:
    rooms = (models, calendar, alerting)
    known = {v for room in rooms for v in vars(room).values() if isinstance(v, type)}
    settings = {cls for cls in known if issubclass(cls, Model)} - {Model}
    assert settings == set(SECTIONS.values())


@pytest.mark.parametrize("heading", SECTIONS)
def test_a_section_names_every_setting_and_no_other(heading: str) -> None:
    assert set(rows_of(heading)) == expected_settings(SECTIONS[heading])


@pytest.mark.parametrize("heading", SECTIONS)
def test_defaults_and_bounds_are_the_models(heading: str) -> None:
    fields = fields_of(SECTIONS[heading])
    said = {name: (cells[1], cells[2]) for name, cells in rows_of(heading).items()}
    true = {name: (default_of(fields[name]), bounds_of(fields[name])) for name in said}
    assert said == true


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_setting_has_a_meaning(heading: str) -> None:
    assert all(cells[3] for cells in rows_of(heading).values())


def test_every_environment_variable_is_named() -> None:
    assert set(rows_of("Environment variables")) == VARIABLES
