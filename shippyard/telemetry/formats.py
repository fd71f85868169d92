"""Owns how samples are written: in Prometheus's text format 0.0.4, or in OpenMetrics 1.0.0.

Which of them a reader gets is decided by what it says that it takes. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric

from shippyard.telemetry.samples import Family, Sample

EOF = b"# EOF\n"
"""OpenMetrics ends with it; what does not end so was cut off."""
KEPT_MAX = 4000
"""Names with labels that are kept written: most series are there again the next time."""


class Format(StrEnum):
    """A format, and how HTTP names it."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


@dataclass(frozen=True)
class Wanted:
    """What a reader takes."""

    format: Format = Format.TEXT
    zipped: bool = False


def wanted(headers: Mapping[str, str]) -> Wanted:
    """What the headers of a request ask for; text as it is where they ask for nothing we have."""
    _, kind = choose_encoder(headers.get("accept", ""))
    is_open = kind.startswith("application/openmetrics-text")
    encodings = [word.strip() for word in headers.get("accept-encoding", "").lower().split(",")]
    zipped = any(each == "gzip" or each.startswith("gzip;q=") for each in encodings)
    refused = {"gzip;q=0", "gzip;q=0.0"} & {each.replace(" ", "") for each in encodings}
    return Wanted(Format.OPENMETRICS if is_open else Format.TEXT, zipped and not refused)


def written(registry: CollectorRegistry, how: Format) -> bytes:
    """The daemon's own metrics, without an end, for more comes after them.

    Not by the library: it writes every label anew for each reader, which takes three times as long.
    """
    return "".join(_whole(metric, how) for metric in registry.collect()).encode()


def head(family: Family, how: Format) -> bytes:
    """What stands above a family's samples."""
    return _kept_head(family.name.removesuffix("_total"), family.help, family.kind, how)


def body(family: Family) -> bytes:
    """Its samples, which are written alike in both formats."""
    return "".join(_line(family.name, sample) for sample in family.samples).encode()


@lru_cache(maxsize=KEPT_MAX)
def _kept_head(name: str, help_: str, kind: str, how: Format) -> bytes:
    return _head(name, help_, kind, how).encode()


def _whole(metric: Metric, how: Format) -> str:
    lines = [
        f"{_series(sample.name, tuple(sample.labels.items()))} {_number(sample.value)}\n"
        for sample in metric.samples
    ]
    return _head(metric.name, metric.documentation, metric.type, how) + "".join(lines)


def _head(name: str, help_: str, kind: str, how: Format) -> str:
    """`name` is without the `_total` of counters, which only the text format wants here."""
    said = help_.translate(_HELP_ESCAPES)
    if how is Format.OPENMETRICS:
        said = said.replace('"', r"\"")
    elif kind == "counter":
        name += "_total"
    return f"# HELP {name} {said}\n# TYPE {name} {kind}\n"


_LABEL_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})


def _line(name: str, sample: Sample) -> str:
    return f"{_series(name, tuple(sample.labels.items()))} {_number(sample.value)}\n"


@lru_cache(maxsize=KEPT_MAX)
def _series(name: str, labels: tuple[tuple[str, str], ...]) -> str:
    said = ",".join(f'{key}="{_escape(value)}"' for key, value in labels)
    return f"{name}{{{said}}}" if said else name


def _number(value: float) -> str:
    """The shortest that reads back as the same; as Go reads it, also what is no number."""
    return repr(value).removesuffix(".0").replace("inf", "Inf").replace("nan", "NaN")


def _escape(value: str) -> str:
    return value.translate(_LABEL_ESCAPES)
