"""Owns what the metrics say of backups: always what the catalog says, never what was said before.

A gauge of what is unknown is removed, so that its absence can be alerted on.
"""

import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from shippyard.backup.catalog import Catalog
from shippyard.backup.model import COUNTED, Backup, Kind, kinds_of
from shippyard.telemetry.metrics import Metrics

OUTCOMES: tuple[Literal["published", "failed"], ...] = ("published", "failed")


_SHOWING = threading.Lock()
"""One for all: the service of before a reload may still be ending a backup while the next one reads
the catalog, and what was read first must not be shown last."""


class Gauges:
    """The backup metrics of `subjects`; of others nothing is shown. Safe from any thread.

    `subjects` maps databases and `@cluster`s to the kinds of backup that each can have.
    """

    def __init__(
        self, metrics: Metrics, catalog: Catalog, subjects: Mapping[str, tuple[Kind, ...]]
    ) -> None:
        self._metrics = metrics
        self._catalog = catalog
        self._kinds = dict(subjects)

    def show(self, database: str, kind: Kind) -> None:
        """Set one subject's gauges of one kind; its counters begin at zero."""
        with _SHOWING:
            if kind in self._kinds.get(database, ()):
                self._show(database, kind, self._catalog.published(database, kind))

    def show_all(self) -> None:
        """Set every gauge of every subject, by one look at the catalog."""
        with _SHOWING:
            found: dict[tuple[str, str], list[Backup]] = defaultdict(list)
            for backup in self._catalog.in_states(COUNTED):
                found[backup.database, backup.kind].append(backup)
            for database, kinds in self._kinds.items():
                for kind in kinds:
                    self._show(database, kind, found[database, kind])

    def forget(self, databases: Iterable[str]) -> None:
        """Remove the gauges of these subjects, and show nothing of them from now on."""
        with _SHOWING:
            for database in databases:
                self._kinds.pop(database, None)
                for kind in kinds_of(database):
                    self._metrics.backup_count.remove(database, kind)
                    self._show_none(database, kind)

    def _show(self, database: str, kind: Kind, published: Sequence[Backup]) -> None:
        """`published` is newest first."""
        self._metrics.backup_count.labels(database, kind).set(len(published))
        self._metrics.backup_deleted.labels(database, kind)
        for outcome in OUTCOMES:
            self._metrics.backup_runs.labels(database, kind, outcome)
        if published:
            self._show_newest(published[0])
        else:
            self._show_none(database, kind)

    def count_run(self, database: str, kind: Kind, outcome: Literal["published", "failed"]) -> None:
        """One attempt ended. What left the configuration keeps its counters as they are."""
        if outcome == "failed" and kind not in self._kinds.get(database, ()):
            return
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
            gauge.remove(database, kind)
