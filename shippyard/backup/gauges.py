"""Owns what the metrics say of backups: always what the catalog says, never what was said before.

A gauge of what is unknown is removed, so that its absence can be alerted on.
"""

import contextlib
from typing import Literal

from shippyard.backup.catalog import Catalog
from shippyard.backup.model import Backup, Kind
from shippyard.telemetry.metrics import Metrics

OUTCOMES: tuple[Literal["published", "failed"], ...] = ("published", "failed")


class Gauges:
    """The backup metrics of every database."""

    def __init__(self, metrics: Metrics, catalog: Catalog) -> None:
        self._metrics = metrics
        self._catalog = catalog

    def show(self, database: str, kind: Kind) -> None:
        """Set one database's gauges of one kind; its counters begin at zero."""
        published = self._catalog.published(database, kind)
        self._metrics.backup_count.labels(database, kind).set(len(published))
        self._metrics.backup_deleted.labels(database, kind)
        for outcome in OUTCOMES:
            self._metrics.backup_runs.labels(database, kind, outcome)
        if published:
            self._show_newest(published[0])
        else:
            self._show_none(database, kind)

    def count_run(self, database: str, kind: Kind, outcome: Literal["published", "failed"]) -> None:
        """One attempt ended."""
        self._metrics.backup_runs.labels(database, kind, outcome).inc()

    def count_deleted(self, database: str, kind: Kind) -> None:
        """Retention deleted one."""
        self._metrics.backup_deleted.labels(database, kind).inc()

    def _show_newest(self, newest: Backup) -> None:
        labels = (newest.database, newest.kind)
        started = newest.started_at.timestamp()
        self._metrics.backup_last_success.labels(*labels).set(started)
        self._metrics.backup_last_size.labels(*labels).set(newest.size_bytes or 0)
        self._metrics.backup_last_duration.labels(*labels).set(newest.duration_s or 0.0)

    def _show_none(self, database: str, kind: Kind) -> None:
        for gauge in (
            self._metrics.backup_last_success,
            self._metrics.backup_last_size,
            self._metrics.backup_last_duration,
        ):
            with contextlib.suppress(KeyError):
                gauge.remove(database, kind)
