"""Owns the body that `/metrics` serves: the daemon's own metrics and the newest samples of checks.

Each publisher's series are rendered once, when published; a scrape joins what is ready and asks
nobody. A publisher that can't answer withdraws its series, so that stale values disappear.
Format: Prometheus text exposition format 0.0.4.
"""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from shippyard.telemetry.metrics import Metrics

CONTENT_TYPE = CONTENT_TYPE_LATEST

_LABEL_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})


@dataclass(frozen=True)
class Sample:
    """One value with its labels."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True)
class Family:
    """All samples of one metric from one publisher. A counter's name ends in `_total`."""

    name: str
    help: str
    kind: Literal["gauge", "counter"]
    samples: tuple[Sample, ...]


class Exposition:
    """Rendered series by metric and publisher."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._lock = threading.Lock()
        self._heads: dict[str, bytes] = {}
        self._bodies: dict[str, dict[str, bytes]] = {}

    def publish(self, publisher: str, families: Iterable[Family]) -> None:
        """Replace everything `publisher` showed before by `families`."""
        rendered = [(family.name, _head(family), _body(family)) for family in families]
        with self._lock:
            self._drop(publisher)
            for name, head, body in rendered:
                self._heads[name] = head
                self._bodies.setdefault(name, {})[publisher] = body

    def withdraw(self, publisher: str) -> None:
        """Show nothing of `publisher` any more."""
        with self._lock:
            self._drop(publisher)

    def render(self) -> bytes:
        """The whole body, from memory."""
        with self._lock:
            parts = [
                self._heads[name] + b"".join(bodies.values())
                for name, bodies in self._bodies.items()
            ]
        return generate_latest(self._metrics.registry) + b"".join(parts)

    def _drop(self, publisher: str) -> None:
        for name in [name for name, bodies in self._bodies.items() if publisher in bodies]:
            del self._bodies[name][publisher]
            if not self._bodies[name]:
                del self._bodies[name]


def _head(family: Family) -> bytes:
    help_ = family.help.translate(_HELP_ESCAPES)
    return f"# HELP {family.name} {help_}\n# TYPE {family.name} {family.kind}\n".encode()


def _body(family: Family) -> bytes:
    return "".join(_line(family.name, sample) for sample in family.samples).encode()


def _line(name: str, sample: Sample) -> str:
    labels = ",".join(f'{key}="{_escape(value)}"' for key, value in sample.labels.items())
    return (
        f"{name}{{{labels}}} {sample.value:.17g}\n" if labels else f"{name} {sample.value:.17g}\n"
    )


def _escape(value: str) -> str:
    return value.translate(_LABEL_ESCAPES)
