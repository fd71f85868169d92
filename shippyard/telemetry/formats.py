"""Owns how samples are written: in Prometheus's text format 0.0.4, or in OpenMetrics 1.0.0.

Which of them a reader gets is decided by what it says that it takes. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from shippyard.telemetry.samples import Family, Sample

EOF = b"# EOF\n"
"""OpenMetrics ends with it; what does not end so was cut off."""


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
    """The library's own metrics; in OpenMetrics without the end, for more comes after them."""
    if how is Format.OPENMETRICS:
        whole: bytes = generate_openmetrics(registry)  # type: ignore[no-untyped-call]
        return whole.removesuffix(EOF)
    return generate_latest(registry)


def head(family: Family, how: Format) -> bytes:
    """What stands above a family's samples."""
    name, help_ = family.name, family.help.translate(_HELP_ESCAPES)
    if how is Format.OPENMETRICS:
        name, help_ = name.removesuffix("_total"), help_.replace('"', r"\"")
    return f"# HELP {name} {help_}\n# TYPE {name} {family.kind}\n".encode()


def body(family: Family) -> bytes:
    """Its samples, which are written alike in both formats."""
    return "".join(_line(family.name, sample) for sample in family.samples).encode()


_LABEL_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})


def _line(name: str, sample: Sample) -> str:
    labels = ",".join(f'{key}="{_escape(value)}"' for key, value in sample.labels.items())
    where = f"{{{labels}}}" if labels else ""
    return f"{name}{where} {_number(sample.value)}\n"


def _number(value: float) -> str:
    """As Go reads it: also what is no number."""
    return f"{value:.17g}".replace("inf", "Inf").replace("nan", "NaN")


def _escape(value: str) -> str:
    return value.translate(_LABEL_ESCAPES)
