"""Owns reading checks: pairs of SQL and TOML, ours and the operator's, with config's overrides.

Everything that can be wrong in a file is found here, before anything runs, and named with the file.
"""

import difflib
import re
import string
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from shippyard.config.base import NAME
from shippyard.config.models import CheckOverride, Health, Severity
from shippyard.health.model import ROWS, AlertSpec, Check, Kind, MetricSpec, Scope
from shippyard.health.shapes import SHAPES
from shippyard.health.when import WhenInvalid, parse_when, when_names

SHIPPED_DIR = Path(__file__).parent / "checks"

# One check is one turn of the poller's loop, and the watchdog wants turns.
TIMEOUT_MAX_S = 9.0

_LABEL = r"^[a-z_][a-z0-9_]*$"
_METRIC = r"^[a-z][a-z0-9_]*$"
_BASE_LABELS = ("database", "cluster")
_OURS = ("shippyard_health_check_", "shippyard_health_database_up")
_PLACEHOLDER = re.compile(r"%\((\w+)\)s")
_FINE_PERCENT = re.compile(r"%%|%\(\w+\)s")


class CheckInvalid(Exception):
    """A check can't be used; the message names the file and says what is wrong, in one line."""


def _as_list(value: Any) -> Any:
    """`[metric]` is as good as `[[metric]]` when there is one."""
    return [value] if isinstance(value, dict) else value


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _MetricFile(_Strict):
    name: str = Field(pattern=_METRIC)
    help: str | None = None
    kind: Kind = "gauge"
    value: str = Field("value", pattern=_LABEL)
    labels: tuple[Annotated[str, Field(pattern=_LABEL)], ...] = ()


class _AlertFile(_Strict):
    rule: str | None = Field(None, pattern=NAME)
    when: str
    for_s: float = Field(0.0, ge=0)
    severity: Severity
    summary: str | None = None


class _CheckFile(_Strict):
    summary: str = Field(min_length=1)
    scope: Scope = "instance"
    shape: str = "rows"
    every_s: float = Field(ge=0.2, le=86400)
    timeout_s: float = Field(gt=0, le=TIMEOUT_MAX_S)
    min_version: int = 14
    max_version: int = 99
    params: dict[str, float] = {}
    metric: Annotated[tuple[_MetricFile, ...], BeforeValidator(_as_list)] = Field(min_length=1)
    alert: _AlertFile | None = None


@dataclass(frozen=True)
class _Pair:
    """A check as it stands on disk, parsed but not yet overridden."""

    path: Path
    sql: str
    file: _CheckFile

    @property
    def name(self) -> str:
        return self.path.stem


def load_checks(settings: Health) -> tuple[Check, ...]:
    """Every enabled check, ours and the operator's, as config wants them; sorted by name.

    Raises:
        CheckInvalid: a file or an override is wrong; the message names it.
    """
    pairs = _read_dir(SHIPPED_DIR)
    if settings.checks_dir:
        pairs += _read_dir(settings.checks_dir)
    _refuse_twins(pairs)
    _refuse_unknown(settings.checks, pairs)
    overrides = {pair.name: settings.checks.get(pair.name, CheckOverride()) for pair in pairs}
    enabled = [pair for pair in pairs if overrides[pair.name].enabled]
    return tuple(
        sorted((_check(pair, overrides[pair.name]) for pair in enabled), key=lambda c: c.name)
    )


def _read_dir(folder: Path) -> list[_Pair]:
    if not folder.is_dir():
        raise CheckInvalid(f"{folder}: no such folder; mend health.checks_dir")
    stems = {path.with_suffix("") for path in folder.iterdir() if path.suffix in (".sql", ".toml")}
    return [_read_pair(stem) for stem in sorted(stems)]


def _read_pair(stem: Path) -> _Pair:
    path, sql_path = stem.with_suffix(".toml"), stem.with_suffix(".sql")
    for one, other in ((path, sql_path), (sql_path, path)):
        if not one.is_file():
            raise CheckInvalid(f"{other}: no {one.name} beside it; a check is a pair")
    if not re.match(NAME, path.stem):
        raise CheckInvalid(f"{path}: a check's name is a-z, 0-9, _ and -, beginning with a letter")
    pair = _Pair(path, _text(sql_path), _parse(path))
    _validate(pair)
    return pair


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckInvalid(f"{path}: can't be read: {error}") from None


def _parse(path: Path) -> _CheckFile:
    try:
        return _CheckFile.model_validate(tomllib.loads(_text(path)))
    except tomllib.TOMLDecodeError as error:
        raise CheckInvalid(f"{path}: not TOML: {error}") from None
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise CheckInvalid(f"{path}: {where!r}: {problem['msg']}") from None


def _validate(pair: _Pair) -> None:
    file = pair.file
    if file.shape not in SHAPES:
        raise CheckInvalid(f"{pair.path}: no shape {file.shape!r}; known: {', '.join(SHAPES)}")
    for metric in file.metric:
        _validate_metric(pair.path, metric)
    if file.alert and file.alert.summary:
        _validate_summary(pair.path, file.alert.summary)
    _validate_params(pair)


def _validate_metric(path: Path, metric: _MetricFile) -> None:
    name = metric.name
    if name.endswith("_total") != (metric.kind == "counter"):
        raise CheckInvalid(f"{path}: {name}: a counter's name ends in _total, and only a counter's")
    strange = name.startswith("shippyard_") and not name.startswith("shippyard_health_")
    if strange or name.startswith((*_OURS, "process_")):
        raise CheckInvalid(f"{path}: {name} is the daemon's own; use another name")


def _validate_summary(path: Path, template: str) -> None:
    try:
        names = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise CheckInvalid(f"{path}: alert.summary: {error}") from None
    wrong = [name for name in names if not name.isidentifier()]
    if wrong:
        raise CheckInvalid(f"{path}: alert.summary: {wrong[0]!r} is not a column's name")


def _validate_params(pair: _Pair) -> None:
    if "%" in _FINE_PERCENT.sub("", pair.sql):
        sql_path = pair.path.with_suffix(".sql")
        raise CheckInvalid(f"{sql_path}: write %% for a percent sign, %(name)s for a parameter")
    in_sql = set(_PLACEHOLDER.findall(pair.sql))
    missing = in_sql - set(pair.file.params)
    if missing:
        raise CheckInvalid(f"{pair.path}: [params] lacks {min(missing)!r}, which the SQL uses")
    in_alert = when_names(pair.file.alert.when) if pair.file.alert else frozenset[str]()
    unused = set(pair.file.params) - in_sql - in_alert
    if unused:
        raise CheckInvalid(f"{pair.path}: nothing uses the parameter {min(unused)!r}; remove it")


def _check(pair: _Pair, override: CheckOverride) -> Check:
    file = pair.file
    strange = set(override.params) - set(file.params)
    if strange:
        raise CheckInvalid(
            f"health.checks.{pair.name}.params: {pair.path} has no parameter {min(strange)!r}"
        )
    if override.timeout_s and override.timeout_s > TIMEOUT_MAX_S:
        raise CheckInvalid(f"health.checks.{pair.name}.timeout_s: at most {TIMEOUT_MAX_S:g}")
    check = Check(
        pair.name,
        file.summary,
        file.scope,
        file.shape,
        pair.sql,
        override.every_s or file.every_s,
        override.timeout_s or file.timeout_s,
        file.min_version,
        file.max_version,
        {**file.params, **override.params},
        tuple(_metric(file, metric) for metric in file.metric),
        None,
    )
    return replace(check, alert=_alert(pair, check, file.alert)) if file.alert else check


def _metric(file: _CheckFile, metric: _MetricFile) -> MetricSpec:
    # These two come from config and are on every sample; naming them in a file is harmless.
    labels = tuple(label for label in metric.labels if label not in _BASE_LABELS)
    return MetricSpec(metric.name, metric.help or file.summary, metric.kind, metric.value, labels)


def _alert(pair: _Pair, check: Check, alert: _AlertFile) -> AlertSpec:
    try:
        when = parse_when(alert.when, check.params)
    except WhenInvalid as error:
        raise CheckInvalid(f"{pair.path}: alert.when: {error}") from None
    if check.metrics[0].value == ROWS and when.subject == "value":
        when = replace(when, subject=ROWS)
    summary = alert.summary or check.summary
    return AlertSpec(alert.rule or check.name, when, alert.for_s, alert.severity, summary)


def _refuse_twins(pairs: Sequence[_Pair]) -> None:
    """No two checks may share a name, a metric or a rule."""
    _first_twice("check", [(pair.name, pair.path) for pair in pairs])
    _first_twice("metric", [(m.name, pair.path) for pair in pairs for m in pair.file.metric])
    alerts = [(pair.file.alert, pair) for pair in pairs if pair.file.alert]
    _first_twice("rule", [(alert.rule or pair.name, pair.path) for alert, pair in alerts])


def _first_twice(what: str, named: Iterable[tuple[str, Path]]) -> None:
    seen: dict[str, Path] = {}
    for name, path in named:
        if name in seen:
            raise CheckInvalid(f"{path}: {what} {name!r} is already in {seen[name]}")
        seen[name] = path


def _refuse_unknown(overrides: Mapping[str, CheckOverride], pairs: Sequence[_Pair]) -> None:
    known = [pair.name for pair in pairs]
    for name in sorted(set(overrides) - set(known)):
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known))}"
        raise CheckInvalid(f"health.checks.{name}: no such check; {hint}")
