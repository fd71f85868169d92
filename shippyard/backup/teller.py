"""Owns saying how backups are: in metrics, in the log, and to whoever pages.

What it says of failing is told from the catalog, so that it is true after a restart too.
"""

from collections.abc import Callable, Mapping

import structlog

from shippyard.backup.catalog import Catalog
from shippyard.backup.failures import failed_condition
from shippyard.backup.gauges import Gauges
from shippyard.backup.model import Backup
from shippyard.config.models import Config
from shippyard.telemetry.condition import Tell

log = structlog.get_logger(__name__)


class Teller:
    """Told what happened, it says it everywhere. Safe from any thread."""

    def __init__(
        self,
        config: Config,
        catalog: Catalog,
        gauges: Gauges,
        tell: Tell,
        *,
        stopping: Callable[[], bool],
    ) -> None:
        self._config = config
        self._catalog = catalog
        self._gauges = gauges
        self._tell = tell
        self._stopping = stopping
        self._unseen: Mapping[str, str] = {}

    def succeeded(self, backup: Backup) -> None:
        """An attempt ended well."""
        self._gauges.count_run(backup.database, backup.kind, "published")
        self._gauges.show(backup.database, backup.kind)
        log.info(
            "backup.finished",
            id=backup.id,
            database=backup.database,
            kind=backup.kind,
            reason=backup.reason,
            size_bytes=backup.size_bytes,
            elapsed_s=backup.duration_s,
        )
        self._say_how_it_is(backup.database)

    def failed(self, planned: Backup, error: str) -> None:
        """An attempt did not succeed."""
        self._gauges.count_run(planned.database, planned.kind, "failed")
        log.error(
            "backup.failed",
            id=planned.id,
            database=planned.database,
            kind=planned.kind,
            reason=planned.reason,
            error=error,
        )
        self._say_how_it_is(planned.database)

    def changed(self, backup: Backup) -> None:
        """A backup counts no longer, or again."""
        self._gauges.show(backup.database, backup.kind)
        self._say_how_it_is(backup.database)

    def unseen(self, unseen: Mapping[str, str]) -> None:
        """What can't be looked at: said when it begins and when it ends, as it is often asked."""
        before, self._unseen = self._unseen, unseen
        for subject in unseen.keys() - before.keys():
            log.error("backup.unseen", database=subject, reason=unseen[subject])
        for subject in before.keys() - unseen.keys():
            log.info("backup.seen_again", database=subject)

    def _say_how_it_is(self, subject: str) -> None:
        condition = failed_condition(self._config, subject, self._catalog.all(subject))
        # A stop interrupts; the schedule makes up for it, so it wakes nobody.
        if condition.summary is None or not self._stopping():
            self._tell(condition)
