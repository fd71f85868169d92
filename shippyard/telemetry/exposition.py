"""Owns the body that `/metrics` serves: the daemon's own metrics and the newest samples of checks.

Each publisher's series are rendered once, when published; a scrape joins what is ready and asks
nobody. A publisher that can't answer withdraws its series, so that stale values disappear.
Format: Prometheus text exposition format 0.0.4.
"""

import threading
from collections.abc import Sequence

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from shippyard.telemetry.budget import within
from shippyard.telemetry.metrics import Metrics
from shippyard.telemetry.samples import Family, Sample

SERIES_MAX = 3000
"""So many series checks may show in all, when config says nothing else."""

CONTENT_TYPE = CONTENT_TYPE_LATEST

_LABEL_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})


class Exposition:
    """Rendered series by metric and publisher."""

    def __init__(self, metrics: Metrics, series_max: int = SERIES_MAX) -> None:
        self.series_max = series_max
        self._metrics = metrics
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}
        self._heads: dict[str, bytes] = {}
        self._bodies: dict[str, dict[str, bytes]] = {}

    def publish(self, publisher: str, families: Sequence[Family], limit: int | None = None) -> int:
        """Replace everything `publisher` showed before by `families`, at most `limit` series.

        Gives how many samples are not shown by themselves, because of `limit` or for want of room
        beside what others show.
        """
        with self._lock:
            others = sum(n for each, n in self._counts.items() if each != publisher)
            room = max(0, self.series_max - others)
            fitting = within(families, room if limit is None else min(limit, room))
            self._counts[publisher] = sum(len(each.samples) for each in fitting.families)
        rendered = [(family.name, _head(family), _body(family)) for family in fitting.families]
        with self._lock:
            self._remove(publisher)
            for name, head, body in rendered:
                self._heads[name] = head
                self._bodies.setdefault(name, {})[publisher] = body
        return fitting.folded

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
        self._counts.pop(publisher, None)
        self._remove(publisher)

    def _remove(self, publisher: str) -> None:
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
