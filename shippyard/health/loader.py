"""Owns the checks as a whole: ours and the operator's, with config's overrides.

No two may share a name, a metric or a rule. What is wrong in one alone is for `check_file`.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from shippyard.config.models import CheckOverride, Health
from shippyard.health.check_file import (
    TIMEOUT_MAX_S,
    AlertFile,
    CheckFile,
    CheckInvalid,
    MetricFile,
    Pair,
    read_pairs,
)
from shippyard.health.model import ROWS, AlertSpec, Check, MetricSpec
from shippyard.health.when import WhenInvalid, parse_when

__all__ = ["SHIPPED_DIR", "CheckInvalid", "load_checks"]

SHIPPED_DIR = Path(__file__).parent / "checks"

_BASE_LABELS = ("database", "cluster")


def load_checks(settings: Health) -> tuple[Check, ...]:
    """Every enabled check, ours and the operator's, as config wants them; sorted by name.

    Raises:
        CheckInvalid: a file or an override is wrong; the message names it.
    """
    pairs = read_pairs(SHIPPED_DIR)
    if settings.checks_dir:
        pairs += read_pairs(settings.checks_dir)
    _refuse_twins(pairs)
    _refuse_unknown(settings.checks, pairs)
    overrides = {pair.name: settings.checks.get(pair.name, CheckOverride()) for pair in pairs}
    enabled = [pair for pair in pairs if overrides[pair.name].enabled]
    return tuple(
        sorted((_check(pair, overrides[pair.name]) for pair in enabled), key=lambda c: c.name)
    )


def _check(pair: Pair, override: CheckOverride) -> Check:
    file = pair.file
    strange = set(override.params) - set(file.params)
    if strange:
        raise CheckInvalid(
            f"health.checks.{pair.name}.params: {pair.path} has no parameter {min(strange)!r}"
        )
    if override.timeout_s and override.timeout_s > TIMEOUT_MAX_S:
        raise CheckInvalid(f"health.checks.{pair.name}.timeout_s: at most {TIMEOUT_MAX_S:g}")
    check = Check(
        name=pair.name,
        summary=file.summary,
        scope=file.scope,
        shape=file.shape,
        forms=pair.forms,
        every_s=override.every_s or file.asked_every_s,
        timeout_s=override.timeout_s or file.timeout_s,
        min_version=file.min_version,
        max_version=file.max_version,
        params={**file.params, **override.params},
        metrics=tuple(_metric(file, metric) for metric in file.metric),
        alert=None,
        cadence=file.told_cadence,
        role=file.role,
        extension=file.extension,
        series_max=file.series_max,
        is_shipped=pair.path.parent == SHIPPED_DIR,
    )
    return replace(check, alert=_alert(pair, check, file.alert)) if file.alert else check


def _metric(file: CheckFile, metric: MetricFile) -> MetricSpec:
    # These two come from config and are on every sample; naming them in a file is harmless.
    labels = tuple(label for label in metric.labels if label not in _BASE_LABELS)
    return MetricSpec(metric.name, metric.help or file.summary, metric.kind, metric.value, labels)


def _alert(pair: Pair, check: Check, alert: AlertFile) -> AlertSpec:
    try:
        when = parse_when(alert.when, check.params)
    except WhenInvalid as error:
        raise CheckInvalid(f"{pair.path}: alert.when: {error}") from None
    if check.metrics[0].value == ROWS and when.subject == "value":
        when = replace(when, subject=ROWS)
    summary = alert.summary or check.summary
    rule = alert.rule or check.name
    return AlertSpec(rule, when, alert.for_s, alert.severity, summary, alert.subject)


def _refuse_twins(pairs: Sequence[Pair]) -> None:
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


def _refuse_unknown(overrides: Mapping[str, CheckOverride], pairs: Sequence[Pair]) -> None:
    known = [pair.name for pair in pairs]
    for name in sorted(set(overrides) - set(known)):
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known))}"
        raise CheckInvalid(f"health.checks.{name}: no such check; {hint}")
