"""Owns how a metric of the daemon's own is declared: on one registry, and in one list. Knows none.

What is told of them besides, in `docs/metrics.md`, comes from that list.
"""

from dataclasses import dataclass
from typing import Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.process_collector import ProcessCollector

DURATION_BUCKETS_S = (0.01, 0.05, 0.25, 1, 5)
"""Few, for there are as many of each as checks and databases."""

# One series more for each counter and histogram, and nobody asks for it.
disable_created_metrics()  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Declared:
    """One metric of the daemon's own, as it is scraped."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    help: str
    labels: tuple[str, ...]


class Instruments:
    """Makes instruments, and remembers what was declared."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self.declared: list[Declared] = []
        ProcessCollector(registry=self.registry)

    def _gauge(self, name: str, help_: str, *labels: str) -> Gauge:
        self.declared.append(Declared(name, "gauge", help_, labels))
        return Gauge(name, help_, labels, registry=self.registry)

    def _counter(self, name: str, help_: str, *labels: str) -> Counter:
        self.declared.append(Declared(name, "counter", help_, labels))
        return Counter(name, help_, labels, registry=self.registry)

    def _histogram(self, name: str, help_: str, *labels: str) -> Histogram:
        self.declared.append(Declared(name, "histogram", help_, labels))
        return Histogram(name, help_, labels, buckets=DURATION_BUCKETS_S, registry=self.registry)
