"""Owns keeping the daemon's own memory: snapshots beside the manifests, and off the machine.

The newest few are kept in both places. What is in the database is not known here.
"""

import threading
from collections.abc import Callable
from pathlib import Path

import structlog

from shippyard.backup.layout import FOLDER_MODE
from shippyard.backup.model import BackupFailed
from shippyard.backup.offsite.objects import OffsiteFailed
from shippyard.backup.offsite.states import StateCopies
from shippyard.host.clock import Clock
from shippyard.host.files import fsync_path
from shippyard.postgres.session import one_line
from shippyard.state.snapshot import SnapshotFailed, copy_state
from shippyard.telemetry.metrics import Metrics

FOLDER = ".state"
KEPT = 14
SUFFIX = ".sqlite3"

log = structlog.get_logger(__name__)


class StateSnapshots:
    """Snapshots of the database `source` in `<backup_dir>/.state`. Safe from any thread."""

    def __init__(
        self,
        source: Path,
        backup_dir: Path,
        *,
        clock: Clock,
        metrics: Metrics,
        off_machine: Callable[[], StateCopies] | None = None,
    ) -> None:
        self._source = source
        self._folder = backup_dir / FOLDER
        self._clock = clock
        self._metrics = metrics
        self._off_machine = off_machine
        self._taking = threading.Lock()

    def take(self) -> Path:
        """A snapshot now: made, proven, sent, and the oldest ones removed.

        Raises:
            BackupFailed: there is none, or it is on this machine alone; one line.
        """
        with self._taking:
            path = self._take()
            for old in self.snapshots()[KEPT:]:
                old.unlink(missing_ok=True)
            self._send(path)
        log.info("state.snapshot", name=path.name, size_bytes=path.stat().st_size)
        return path

    def take_soon(self) -> None:
        """The same in the background; what goes wrong is said in the log, and tried again daily."""
        threading.Thread(target=self._take_and_say, name="state snapshot", daemon=True).start()

    def snapshots(self) -> list[Path]:
        """What is on this machine, newest first."""
        found = self._folder.glob(f"[!.]*{SUFFIX}") if self._folder.is_dir() else ()
        return sorted(found, reverse=True)

    def _take_and_say(self) -> None:
        try:
            self.take()
        except (BackupFailed, OSError) as error:
            log.warning("state.snapshot_failed", error=one_line(error))

    def _take(self) -> Path:
        # To the microsecond: one is taken after every run, and two may end in one second.
        path = self._folder / f"{self._clock.now():%Y%m%dT%H%M%S.%fZ}{SUFFIX}"
        try:
            if not self._folder.is_dir():
                self._folder.mkdir(mode=FOLDER_MODE)
                fsync_path(self._folder.parent)
            copy_state(self._source, path)
        except (SnapshotFailed, OSError) as error:
            raise BackupFailed(f"no snapshot of the state: {one_line(error)}") from None
        return path

    def _send(self, path: Path) -> None:
        if self._off_machine is None:
            return
        try:
            states = self._off_machine()
            states.put(path)
            states.keep_newest(KEPT)
        except OffsiteFailed as error:
            self._metrics.offsite_errors.labels("state").inc()
            raise BackupFailed(f"{path.name} is on this machine alone: {one_line(error)}") from None
