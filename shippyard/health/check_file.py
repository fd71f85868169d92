"""Owns what a check is on disk: NAME.toml with NAME.sql beside it, or NAME.14.sql, NAME.17.sql.

Everything that can be wrong in one check's files is found here, before anything runs, and named
with file and line. Knows neither other checks nor what config makes of this one.
"""

import re
import string
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from shippyard.config.alerting import Severity
from shippyard.config.base import NAME
from shippyard.health.model import (
    EXTENSION_SCHEMA,
    SERIES_MAX,
    Cadence,
    Form,
    Kind,
    Need,
    Scope,
)
from shippyard.health.shapes import SHAPES
from shippyard.health.when import when_names

# One check is one turn of the poller's loop, and the watchdog wants turns.
TIMEOUT_MAX_S = 9.0
FAST_TIMEOUT_MAX_S = 2.0

EVERY_S: Mapping[Cadence, float] = {"fast": 5, "medium": 30, "slow": 900}
WITHIN_S: Mapping[Cadence, tuple[float, float]] = {
    "fast": (0.2, 5),
    "medium": (5, 300),
    "slow": (300, 86_400),
}

_LABEL = r"^[a-z_][a-z0-9_]*$"
_METRIC = r"^[a-z][a-z0-9_]*$"
_OURS = ("shippyard_health_check_", "shippyard_health_database_up", "shippyard_health_alert_")
_PLACEHOLDER = re.compile(r"%\((\w+)\)s")
_FINE_PERCENT = re.compile(r"%%|%\(\w+\)s")
_FORM = re.compile(r"(?P<name>.+)\.(?P<version>\d\d)$")
_QUESTION = re.compile(r"\s*(?:--[^\n]*\n\s*)*(SELECT|WITH|VALUES|TABLE)\b", re.IGNORECASE)


class CheckInvalid(Exception):
    """A check can't be used; the message names the file and says what is wrong, in one line."""


def _as_list(value: Any) -> Any:
    """`[metric]` is as good as `[[metric]]` when there is one."""
    return [value] if isinstance(value, dict) else value


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MetricFile(_Strict):
    """One `[[metric]]`."""

    name: str = Field(pattern=_METRIC)
    help: str | None = None
    kind: Kind = "gauge"
    value: str = Field("value", pattern=_LABEL)
    labels: tuple[Annotated[str, Field(pattern=_LABEL)], ...] = ()


class AlertFile(_Strict):
    """The `[alert]`."""

    rule: str | None = Field(None, pattern=NAME)
    when: str
    for_s: float = Field(0.0, ge=0)
    severity: Severity
    summary: str | None = None
    subject: str | None = Field(None, pattern=_LABEL)


class CheckFile(_Strict):
    """The TOML of a check. Without `cadence`, `every_s` says which one it is."""

    summary: str = Field(min_length=1)
    scope: Scope = "instance"
    shape: str = "rows"
    cadence: Cadence | None = None
    every_s: float | None = Field(None, ge=0.2, le=86_400)
    timeout_s: float = Field(gt=0, le=TIMEOUT_MAX_S)
    min_version: int = 14
    max_version: int = 99
    role: Need = "pg_monitor"
    extension: str | None = Field(None, pattern=NAME)
    series_max: int = Field(SERIES_MAX, ge=1, le=2000)
    params: dict[str, float] = {}
    metric: Annotated[tuple[MetricFile, ...], BeforeValidator(_as_list)] = Field(min_length=1)
    alert: AlertFile | None = None

    @property
    def asked_every_s(self) -> float:
        """How often it is asked."""
        return self.every_s or EVERY_S[self.cadence or "medium"]

    @property
    def told_cadence(self) -> Cadence:
        """The cadence it names, or that its `every_s` belongs to."""
        if self.cadence:
            return self.cadence
        return next(name for name, (_, most) in WITHIN_S.items() if self.asked_every_s <= most)


@dataclass(frozen=True)
class Pair:
    """A check as it stands on disk, parsed but not yet overridden."""

    path: Path
    forms: tuple[Form, ...]
    file: CheckFile

    @property
    def name(self) -> str:
        """What it is called: its file, without the ending."""
        return self.path.stem


def read_pairs(folder: Path) -> list[Pair]:
    """All checks in a folder, by name.

    Raises:
        CheckInvalid: the folder or a check in it is wrong.
    """
    if not folder.is_dir():
        raise CheckInvalid(f"{folder}: no such folder; mend health.checks_dir")
    return [_read_pair(folder, name) for name in sorted(_names(folder))]


def _names(folder: Path) -> set[str]:
    files = [path for path in folder.iterdir() if path.suffix in (".sql", ".toml")]
    return {_form_of(path)[0] if path.suffix == ".sql" else path.stem for path in files}


def _form_of(path: Path) -> tuple[str, int]:
    """The check that a file of SQL belongs to, and from which major on it fits."""
    found = _FORM.match(path.stem)
    return (found["name"], int(found["version"])) if found else (path.stem, 0)


def _read_pair(folder: Path, name: str) -> Pair:
    path = folder / f"{name}.toml"
    sql_paths = sorted(
        (each for each in folder.glob(f"{name}.*sql") if _form_of(each)[0] == name),
        key=lambda each: _form_of(each)[1],
    )
    if not path.is_file():
        raise CheckInvalid(f"{path}: no {path.name} beside it; a check is a pair")
    if not sql_paths:
        raise CheckInvalid(f"{path}: no {name}.sql beside it; a check is a pair")
    if not re.match(NAME, name):
        raise CheckInvalid(f"{path}: a check's name is a-z, 0-9, _ and -, beginning with a letter")
    file = _parse(path)
    _validate(path, file)
    texts = {sql_path: _text(sql_path) for sql_path in sql_paths}
    for sql_path, sql in texts.items():
        _validate_sql(sql_path, sql)
    _validate_params(path, file, texts)
    return Pair(path, tuple(Form(_form_of(each)[1], sql) for each, sql in texts.items()), file)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckInvalid(f"{path}: can't be read: {error}") from None


def _parse(path: Path) -> CheckFile:
    text = _text(path)
    try:
        return CheckFile.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise CheckInvalid(f"{path}: not TOML: {error}") from None
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        line = _line_of(text, problem["loc"])
        raise CheckInvalid(f"{path}:{line}: {where!r}: {problem['msg']}") from None


def _line_of(text: str, keys: tuple[int | str, ...]) -> int:
    """The line where the last of the keys stands that stands anywhere; 1 when none does."""
    lines, at = text.splitlines(), 0
    for key, number in _tables(keys):
        head = re.compile(rf"\s*(\[\[?\s*{re.escape(key)}\s*\]\]?|{re.escape(key)}\s*=)")
        found = [n for n, line in enumerate(lines[at:], at) if head.match(line)]
        if len(found) > number:
            at = found[number]
    return at + 1


def _tables(keys: tuple[int | str, ...]) -> Iterator[tuple[str, int]]:
    """Each key with how many of the same name come before the one that is meant."""
    for key, after in zip(keys, (*keys[1:], ""), strict=True):
        if isinstance(key, str):
            yield key, after if isinstance(after, int) else 0


def _validate(path: Path, file: CheckFile) -> None:
    if file.shape not in SHAPES:
        raise CheckInvalid(f"{path}: no shape {file.shape!r}; known: {', '.join(SHAPES)}")
    if file.cadence is None and file.every_s is None:
        raise CheckInvalid(f"{path}: say cadence = 'fast', 'medium' or 'slow'")
    least, most = WITHIN_S[file.told_cadence]
    if not least <= file.asked_every_s <= most:
        raise CheckInvalid(
            f"{path}: every_s of a {file.told_cadence} check is from {least:g} to {most:g}"
        )
    if file.told_cadence == "fast" and file.timeout_s > FAST_TIMEOUT_MAX_S:
        raise CheckInvalid(f"{path}: timeout_s of a fast check is at most {FAST_TIMEOUT_MAX_S:g}")
    for metric in file.metric:
        _validate_metric(path, metric)
    if file.alert and file.alert.summary:
        _validate_summary(path, file.alert.summary)


def _validate_metric(path: Path, metric: MetricFile) -> None:
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


def _validate_sql(path: Path, sql: str) -> None:
    if not _QUESTION.match(sql):
        raise CheckInvalid(f"{path}:1: a check is one SELECT, WITH, VALUES or TABLE")
    for number, line in enumerate(sql.splitlines(), 1):
        if "%" in _FINE_PERCENT.sub("", line):
            raise CheckInvalid(
                f"{path}:{number}: write %% for a percent sign, %(name)s for a parameter"
            )


def _validate_params(path: Path, file: CheckFile, texts: Mapping[Path, str]) -> None:
    in_sql = {name for sql in texts.values() for name in _PLACEHOLDER.findall(sql)}
    missing = in_sql - set(file.params)
    if missing:
        raise CheckInvalid(f"{path}: [params] lacks {min(missing)!r}, which the SQL uses")
    in_alert = when_names(file.alert.when) if file.alert else frozenset[str]()
    unused = set(file.params) - in_sql - in_alert
    if unused:
        raise CheckInvalid(f"{path}: nothing uses the parameter {min(unused)!r}; remove it")
    says_schema = any(EXTENSION_SCHEMA in sql for sql in texts.values())
    if says_schema and not file.extension:
        raise CheckInvalid(f"{path}: the SQL says {EXTENSION_SCHEMA}; name the extension here")
