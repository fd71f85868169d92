"""Owns docs/metrics.md: every metric with its meaning, from where it is declared.

`python -m shippyard.setup.metrics_manual` prints it, `make docs` writes it, a test holds it fresh.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence

from shippyard.config.models import Health
from shippyard.health.loader import load_checks
from shippyard.health.model import Check, MetricSpec
from shippyard.telemetry.instruments import Declared
from shippyard.telemetry.metrics import Metrics

INTRODUCTION = """\
# Metrics

Written by `make docs` from the declarations; what stands here is what is served.

`/metrics` answers from memory, in Prometheus's text format or in OpenMetrics, whichever is asked
for, and zipped for whoever takes it. A value that is not known is absent: what a check said before
it failed goes with it, and what only happens now and then has a timestamp instead. Text of queries
is in no label. At most `health.series_max` series come from checks, and `series_max` from each of
them; the samples that did not fit are counted in `shippyard_health_check_folded_samples`.
"""
UNITS = (
    "timestamp_seconds",
    "seconds",
    "bytes",
    "ratio",
    "transactions",
    "info",
)
NOTHING = "\N{EN DASH}"
OLDEST, NEWEST = 14, 99
"""A check that names no version fits all of these."""


def manual() -> str:
    """The whole page."""
    own = sorted(Metrics().declared, key=lambda each: each.name)
    checks = load_checks(Health())
    return "\n".join([INTRODUCTION, *_own(own), "", *_of_checks(checks), ""])


def _own(declared: Iterable[Declared]) -> Iterator[str]:
    yield "## The daemon's own\n"
    yield "| metric | type | unit | labels | meaning |"
    yield "|---|---|---|---|---|"
    for each in declared:
        cells = (f"`{each.name}`", each.kind, _unit(each.name), _labels(each.labels), each.help)
        yield f"| {' | '.join(cells)} |"
    yield ""
    yield "`process_*` are the client library's: CPU, memory, open files and start of the daemon."


def _of_checks(checks: Sequence[Check]) -> Iterator[str]:
    yield "## Of checks\n"
    yield "Beside `database` every series of an instance's check has the label `cluster`."
    for check in checks:
        yield f"\n### {check.name}\n"
        yield f"{check.summary}. {_asked(check)}\n"
        yield "| metric | type | unit | labels | meaning |"
        yield "|---|---|---|---|---|"
        yield from (_row(check, metric) for metric in check.metrics)
        if check.alert:
            when = f"{check.alert.when.subject} {check.alert.when.comparison}"
            yield (
                f"\nAlert `{check.alert.rule}` ({check.alert.severity}): "
                f"`{when} {check.alert.when.limit:.15g}` for {check.alert.for_s:g} s."
            )


def _asked(check: Check) -> str:
    """How often, of whom, as whom."""
    where = "each database" if check.scope == "database" else "the cluster"
    versions = "".join(
        [
            f", from PostgreSQL {check.min_version}" if check.min_version > OLDEST else "",
            f", to PostgreSQL {check.max_version}" if check.max_version < NEWEST else "",
        ]
    )
    needs = f", with the extension {check.extension}" if check.extension else ""
    return (
        f"Asked of {where} each {check.every_s:g} s ({check.cadence}) as `{check.role}`"
        f"{needs}{versions}."
    )


def _row(check: Check, metric: MetricSpec) -> str:
    base = ("database", "cluster") if check.scope == "instance" else ("database",)
    labels = _labels((*base, *metric.labels))
    cells = (f"`{metric.name}`", metric.kind, _unit(metric.name), labels, metric.help)
    return f"| {' | '.join(cells)} |"


def _unit(name: str) -> str:
    """What its name says, as Prometheus has it."""
    base = name.removesuffix("_total")
    return next((unit.replace("_", " ") for unit in UNITS if base.endswith(f"_{unit}")), NOTHING)


def _labels(labels: Sequence[str]) -> str:
    return ", ".join(f"`{label}`" for label in labels) or NOTHING


if __name__ == "__main__":
    sys.stdout.write(manual())
