"""Owns how a metric of the daemon's own is declared: on one registry, and in one list. Knows none.

What is told of them besides, in `docs/metrics.md`, comes from that list.
"""

from dataclasses import dataclass
from typing import Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    disable_created_metrics,
)
from prometheus_client.process_collector import ProcessCollector

# One series more for each counter, and nobody asks for it.
disable_created_metrics()  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Declared:
    """One metric of the daemon's own, as it is scraped."""

    name: str
    kind: Literal["gauge", "counter"]
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
