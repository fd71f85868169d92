"""Owns the body that `/metrics` serves: the daemon's own metrics and the newest samples of checks.

Each publisher's series are written once, when published; a scrape joins what is ready and asks
nobody. A publisher that can't answer withdraws its series, so that stale values disappear.
"""

import gzip
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from shippyard.telemetry.budget import within
from shippyard.telemetry.formats import EOF, Format, Wanted, body, head, written
from shippyard.telemetry.metrics import Metrics
from shippyard.telemetry.samples import Family

SERIES_MAX = 3000
"""So many series checks may show in all, when config says nothing else."""
OWN_FRESH_S = 1.0
"""The daemon's own metrics are written anew this often at most, however many readers there are."""
GZIP_LEVEL = 1
"""The next levels save a tenth of the bytes and take twice the time."""


@dataclass(frozen=True)
class _Ready:
    """A body that was served, and what it was made of."""

    generation: int
    until: float
    body: bytes


class Exposition:
    """Written series by metric and publisher."""

    def __init__(self, metrics: Metrics, series_max: int = SERIES_MAX) -> None:
        self.series_max = series_max
        self._metrics = metrics
        self._lock = threading.Lock()
        self._generation = 0
        self._counts: dict[str, int] = {}
        self._heads: dict[str, dict[Format, bytes]] = {}
        self._bodies: dict[str, dict[str, bytes]] = {}
        self._ready: dict[Wanted, _Ready] = {}

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
        heads = {f.name: {how: head(f, how) for how in Format} for f in fitting.families}
        bodies = {family.name: body(family) for family in fitting.families}
        with self._lock:
            self._remove(publisher)
            self._heads.update(heads)
            for name, each in bodies.items():
                self._bodies.setdefault(name, {})[publisher] = each
        return fitting.folded

    def withdraw(self, publisher: str) -> None:
        """Show nothing of `publisher` any more."""
        with self._lock:
            self._counts.pop(publisher, None)
            self._remove(publisher)

    def render(self, wanted: Wanted = Wanted()) -> bytes:  # noqa: B008  frozen
        """The whole body, from memory. The daemon's own metrics are a second old at most."""
        ready = self._ready.get(wanted)
        if ready and ready.generation == self._generation and time.monotonic() < ready.until:
            return ready.body
        until = time.monotonic() + OWN_FRESH_S
        own = written(self._metrics.registry, wanted.format)
        with self._lock:
            generation = self._generation
            parts = [
                self._heads[name][wanted.format] + b"".join(bodies.values())
                for name, bodies in self._bodies.items()
            ]
        end = EOF if wanted.format is Format.OPENMETRICS else b""
        whole = own + b"".join(parts) + end
        if wanted.zipped:
            whole = gzip.compress(whole, GZIP_LEVEL, mtime=0)
        self._ready[wanted] = _Ready(generation, until, whole)
        return whole

    def _remove(self, publisher: str) -> None:
        self._generation += 1
        for name in [name for name, bodies in self._bodies.items() if publisher in bodies]:
            del self._bodies[name][publisher]
            if not self._bodies[name]:
                del self._bodies[name]
