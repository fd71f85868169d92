"""Owns turning a check's rows into samples and, perhaps, a finding. Pure.

What doesn't fit what the check's TOML promised is an error of the check, never a wrong sample.
"""

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from shippyard.health.model import ROWS, AlertSpec, Check, Finding, MetricSpec, Row
from shippyard.health.shape import Shape, Shaped
from shippyard.health.shapes import SHAPES
from shippyard.telemetry.samples import Family, Sample

ROWS_MAX = 2000


class AnswerUnusable(Exception):
    """Rows that are not what the check's TOML says; one line that says which column."""


@dataclass(frozen=True)
class Answer:
    """What one run of a check says."""

    families: tuple[Family, ...]
    finding: Finding | None
    parts: Mapping[str, Finding] = field(default_factory=dict)


def evaluate(
    check: Check,
    rows: Sequence[Row],
    labels: Mapping[str, str],
    shape: Shape | None = None,
    now_s: float = 0.0,
) -> Answer:
    """Samples and finding of one answer; `labels` go on every sample.

    `shape` is the one that saw the answers before; without it there were none.

    Raises:
        AnswerUnusable: too many rows, a missing or non-numeric column, two samples with one name.
    """
    if len(rows) > ROWS_MAX:
        raise AnswerUnusable(f"{len(rows)} rows, at most {ROWS_MAX} are taken; add a LIMIT")
    try:
        shaped = (shape or SHAPES[check.shape]())(rows, now_s)
        families = [_family(spec, shaped.figures, labels) for spec in check.metrics]
        finding, parts = _told(check, check.alert, shaped) if check.alert else (None, {})
    except KeyError as error:
        raise AnswerUnusable(f"the answer has no column {error}") from None
    return Answer(tuple(family for family in families if family.samples), finding, parts)


def _family(spec: MetricSpec, figures: Sequence[Row], labels: Mapping[str, str]) -> Family:
    if spec.value == ROWS:
        samples = [Sample(labels, float(len(figures)))]
    else:
        samples = [
            Sample({**labels, **_labels(spec, figure)}, value)
            for figure in figures
            if (value := _number(figure[spec.value], spec.value)) is not None
        ]
    _refuse_twins(spec, samples)
    return Family(spec.name, spec.help, spec.kind, tuple(samples), fixed=tuple(labels))


def _labels(spec: MetricSpec, figure: Row) -> dict[str, str]:
    return {name: "" if figure[name] is None else str(figure[name]) for name in spec.labels}


def _number(value: Any, column: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool | int | float | Decimal):
        return float(value)
    raise AnswerUnusable(f"column {column!r} is not a number but {type(value).__name__}")


def _refuse_twins(spec: MetricSpec, samples: Sequence[Sample]) -> None:
    if len({tuple(sample.labels.items()) for sample in samples}) < len(samples):
        raise AnswerUnusable(f"two rows give {spec.name} the same labels; group them")


def _told(
    check: Check, alert: AlertSpec, shaped: Shaped
) -> tuple[Finding | None, Mapping[str, Finding]]:
    """What is wrong, all in all and by what it is about."""
    found = _found(check, alert, shaped.figures)
    if found is None:
        return None, {}
    return _finding(alert, shaped, found), _parts(alert, shaped, found)


def _finding(alert: AlertSpec, shaped: Shaped, found: Sequence[Row]) -> Finding:
    words = {**(found[0] if found else {}), ROWS: len(found)}
    return Finding(_Words().vformat(alert.summary, (), words), shaped.evidence(found))


def _parts(alert: AlertSpec, shaped: Shaped, found: Sequence[Row]) -> dict[str, Finding]:
    """A finding for each thing that rows are about; of the first row where it has several."""
    if alert.subject is None:
        return {}
    firsts: dict[str, Row] = {}
    for row in found:
        firsts.setdefault(str(row[alert.subject]), row)
    return {subject: _finding(alert, shaped, [row]) for subject, row in firsts.items()}


def _found(check: Check, alert: AlertSpec, figures: Sequence[Row]) -> Sequence[Row] | None:
    """The figures that meet the condition; None when all is well."""
    if alert.when.subject == ROWS:
        return figures if alert.when.holds(len(figures)) else None
    column = check.metrics[0].value if alert.when.subject == "value" else alert.when.subject
    return [f for f in figures if alert.when.holds(_number(f[column], column))] or None


class _Words(string.Formatter):
    """`{column:.0f}` as Python has it; an absent value is said to be unknown."""

    def format_field(self, value: Any, format_spec: str) -> str:
        if value is None:
            return "unknown"
        try:
            return str(super().format_field(value, format_spec))
        except (ValueError, TypeError):
            raise AnswerUnusable(f"{value!r} can't be said as {format_spec!r}") from None
