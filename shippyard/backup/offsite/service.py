"""Owns that what is published gets off the machine by itself, newest first, and stays in order.

One copy at a time. A store that does not answer is tried again after a pause that grows to an
hour; a person is told when trying does not help, or has not for three times.
"""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError

from shippyard.backup.manifest import ManifestUnusable
from shippyard.backup.model import Backup, BackupFailed
from shippyard.backup.offsite.copies import Copies, CopyRecord, begun, verified
from shippyard.backup.offsite.keeping import due
from shippyard.backup.offsite.objects import OffsiteFailed, OffsiteStopped, SourceDamaged
from shippyard.backup.offsite.offsite import Copy, Offsite
from shippyard.backup.offsite.place import Known, Place, Pruned, newest_verified
from shippyard.backup.offsite.sending import Progress
from shippyard.backup.seal import Seal
from shippyard.host.clock import Clock
from shippyard.postgres.session import one_line
from shippyard.telemetry.condition import Condition, Tell
from shippyard.telemetry.metrics import Metrics

LOOK_S = 5.0
LIMIT_S = 900.0
"""One part may take so long, with every retry, before the loop turns again."""
PAUSE_MIN_S = 30.0
PAUSE_MAX_S = 3600.0
TELL_AFTER = 3
DAY = timedelta(days=1)
STOP_S = 2.5

log = structlog.get_logger(__name__)


class _Busy(BackupFailed):
    """Another is at it; it has to wait."""


class Backups(Known, Protocol):
    """What is asked of, and told to, those who keep the backups."""

    def find(self, backup_id: str) -> Backup:
        """The backup with this id, or BackupFailed."""
        ...

    def path(self, backup: Backup) -> Path:
        """Where its files are."""
        ...

    def mark_replicated(self, backup_id: str, at: datetime, where: str = "") -> Backup:
        """A copy of it was verified, or BackupFailed when that can't be noted."""
        ...


@dataclass(frozen=True)
class _Trouble:
    """Attempts that failed one after the other; nothing is tried before `again_at`."""

    attempts: int
    again_at: float


class OffsiteCopies:
    """Copies what is published to one place. Stopping twice, or before starting, is fine."""

    def __init__(
        self,
        offsite: Offsite,
        place: Place,
        copies: Copies,
        backups: Backups,
        *,
        seal: Seal,
        metrics: Metrics,
        clock: Clock,
        tell: Tell = lambda _: None,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._offsite = offsite
        self._place = place
        self._copies = copies
        self._backups = backups
        self._seal = seal
        self._metrics = metrics
        self._clock = clock
        self._tell = tell
        self._beat = beat
        self._working = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._store_trouble: _Trouble | None = None
        self._troubles: dict[str, _Trouble] = {}
        self._told: dict[str, str | None] = {}
        self._kept_at: datetime | None = None
        self._foreign: set[str] = set()
        self._shown: set[tuple[str, str]] = set()

    def start(self) -> None:
        """Begin to copy in the background."""
        if self._thread is None and not self._stopping.is_set():
            self._thread = threading.Thread(target=self._turn, name="offsite copies", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Give up what is under way; what was sent stays, and goes on at the next start."""
        self._stopping.set()
        self._offsite.close()
        if self._thread is not None:
            self._thread.join(STOP_S)

    def look(self) -> None:
        """One turn: keep the place in order once a day, copy what is due, say how it stands."""
        now = self._clock.monotonic()
        if self._store_trouble is None or now >= self._store_trouble.again_at:
            with contextlib.suppress(OffsiteStopped, _Busy), self._alone("the service"):
                self._keep_daily()
                self._copy_due()
        if not self._stopping.is_set():
            self._say_well()
        self.show()

    def replicate(self, backup_id: str, progress: Progress = lambda _: None) -> Copy:
        """Copy one backup now; a copy that is there is read again and mended.

        Raises:
            BackupFailed: no such backup, it does not count, or there is no verified copy now.
        """
        backup = self._backups.find(backup_id)
        if not backup.counts:
            raise BackupFailed(f"{backup_id} is {backup.state}: there is nothing to copy")
        with self._alone(backup_id):
            try:
                copy = self._copy(backup, progress)
            except (OffsiteFailed, ManifestUnusable, OSError) as error:
                self._fail(backup, error)
                raise BackupFailed(f"copy of {backup_id}: {one_line(error)}") from None
            if copy is None:
                raise BackupFailed(f"{backup_id} is in another engine's repository, not ours")
        self.show()
        return copy

    def prune(self, *, apply: bool) -> Pruned:
        """What retention of copies would delete; with `apply`, delete it.

        Raises:
            BackupFailed: somebody else is at it, or the store failed.
        """
        with self._alone("pruning"):
            try:
                pruned = self._place.prune(apply=apply)
            except OffsiteFailed as error:
                self._metrics.offsite_errors.labels("retention").inc()
                raise BackupFailed(f"copies can't be pruned: {one_line(error)}") from None
        self.show()
        return pruned

    def records(self) -> list[CopyRecord]:
        """Every copy there is or was, newest backup first."""
        return self._copies.all()

    def waiting(self) -> list[Backup]:
        """Backups that want a copy and have none yet, in the order in which they are copied."""
        wanted = due(self._backups.history(), self._copies.all(), self._place.rules())
        return [backup for backup in wanted if backup.id not in self._foreign]

    @property
    def offsite(self) -> Offsite:
        """The place itself."""
        return self._offsite

    def show(self) -> None:
        """Set the gauges to what the table says; what is unknown is absent."""
        gauge = self._metrics.offsite_last_success
        newest = newest_verified(self._copies.all())
        for labels in self._shown - newest.keys():
            gauge.remove(*labels)
        for labels, record in newest.items():
            gauge.labels(*labels).set(record.started_at.timestamp())
        self._shown = set(newest)

    def forget_metrics(self, subjects: Iterable[str]) -> None:
        """Remove the gauges of what left the configuration."""
        gone = set(subjects)
        for labels in [labels for labels in self._shown if labels[0] in gone]:
            self._metrics.offsite_last_success.remove(*labels)
            self._shown.discard(labels)

    def _turn(self) -> None:
        while not self._stopping.is_set():
            self._beat()
            try:
                self.look()
            except SQLAlchemyError as error:
                log.error("offsite.unrecorded", reason=one_line(error))
            self._stopping.wait(LOOK_S)

    def _keep_daily(self) -> None:
        now = self._clock.now()
        if self._kept_at is not None and now - self._kept_at < DAY:
            return
        try:
            self._place.prune(apply=True)
            self._kept_at = now
        except OffsiteStopped:
            raise
        except OffsiteFailed as error:
            self._metrics.offsite_errors.labels("retention").inc()
            log.error("offsite.unkept", place=self._offsite.place, reason=one_line(error))

    def _copy_due(self) -> None:
        history, records = self._backups.history(), self._copies.all()
        self._mark_verified(history, records)
        for backup in due(history, records, self._place.rules()):
            if self._stopping.is_set():
                return
            if self._may_try(backup) and not self._try(backup):
                return

    def _mark_verified(self, history: Iterable[Backup], records: Iterable[CopyRecord]) -> None:
        """What was copied and not noted, because we ended in between."""
        at = {record.backup_id: record.verified_at for record in records if record.verified_at}
        states = {record.backup_id: record.state for record in records}
        for backup in history:
            unnoted = backup.counts and backup.replicated_at is None
            if unnoted and states.get(backup.id) == "verified" and backup.id in at:
                self._mark(backup.id, at[backup.id])

    def _may_try(self, backup: Backup) -> bool:
        trouble = self._troubles.get(backup.id)
        early = trouble is not None and self._clock.monotonic() < trouble.again_at
        return backup.id not in self._foreign and not early

    def _try(self, backup: Backup) -> bool:
        """Copy one; False when the store is not to be asked again before a pause."""
        try:
            self._copy(backup, lambda _: None)
        except OffsiteStopped:
            raise
        except (SourceDamaged, ManifestUnusable, OSError) as error:
            self._fail(backup, error)
        except OffsiteFailed as error:
            self._store_trouble = self._worse(self._store_trouble)
            self._fail(backup, error)
            return False
        return True

    def _copy(self, backup: Backup, progress: Progress) -> Copy | None:
        """A verified copy, recorded; None when the files are another engine's."""
        folder = self._backups.path(backup)
        manifest = self._seal.read(folder)
        if manifest.external is not None:
            self._foreign.add(backup.id)
            return None
        self._copies.put(begun(backup, self._offsite.place, self._offsite.key_ids))
        began = self._clock.monotonic()
        copy = self._offsite.send(folder, manifest, self._going_on(progress))
        self._copies.put(verified(copy))
        self._troubles.pop(backup.id, None)
        self._store_trouble = None
        self._mark(backup.id, copy.verified_at)
        log.info(
            "offsite.copied",
            id=copy.backup_id,
            database=copy.database,
            kind=copy.kind,
            stored_bytes=copy.stored_bytes,
            sent_bytes=copy.sent_bytes,
            kept_parts=copy.kept_parts,
            mended_parts=copy.mended_parts,
            protection=copy.protection.state,
            elapsed_s=self._clock.monotonic() - began,
        )
        return copy

    def _going_on(self, progress: Progress) -> Progress:
        """Progress that keeps the loop fresh, and ends the work when we stop."""

        def say(fields: Mapping[str, Any]) -> None:
            if self._stopping.is_set():
                raise OffsiteStopped("stopped; the copy goes on at the next start")
            self._beat()
            progress(fields)

        return say

    def _mark(self, backup_id: str, at: datetime) -> None:
        try:
            self._backups.mark_replicated(backup_id, at, self._offsite.place)
        except BackupFailed as error:
            log.warning("offsite.unnoted", id=backup_id, reason=one_line(error))

    def _fail(self, backup: Backup, error: Exception) -> None:
        if isinstance(error, OffsiteStopped):
            return
        reason = one_line(error)
        record = self._copies.get(backup.id) or begun(backup, self._offsite.place, ())
        if record.state != "verified":
            self._copies.put(replace(record, state="failed", error=reason))
        self._metrics.offsite_errors.labels("copy").inc()
        trouble = self._troubles[backup.id] = self._worse(self._troubles.get(backup.id))
        log.error("offsite.failed", id=backup.id, attempts=trouble.attempts, reason=reason)
        lasting = isinstance(error, OffsiteFailed) and error.lasting
        if lasting or trouble.attempts >= TELL_AFTER:
            summary = f"{backup.database}: no copy of {backup.id} off the machine: {reason}"
            self._tell_once(backup.database, summary)

    def _worse(self, trouble: _Trouble | None) -> _Trouble:
        attempts = trouble.attempts + 1 if trouble else 1
        pause_s = min(PAUSE_MIN_S * 2 ** (attempts - 1), PAUSE_MAX_S)
        return _Trouble(attempts, self._clock.monotonic() + pause_s)

    def _say_well(self) -> None:
        """Of every subject whose copies are all there, or still being tried: all is well."""
        history = self._backups.history()
        failing = {b.database for b in history if b.counts and b.id in self._troubles}
        for subject in {backup.database for backup in history} - failing:
            self._tell_once(subject, None)

    def _tell_once(self, subject: str, summary: str | None) -> None:
        if subject in self._told and self._told[subject] == summary:
            return
        self._told[subject] = summary
        evidence = {"place": self._offsite.place}
        self._tell(Condition("offsite_failed", subject, summary, evidence=evidence))

    @contextlib.contextmanager
    def _alone(self, what: str) -> Iterator[None]:
        if not self._working.acquire(blocking=False):
            raise _Busy(f"copies are being made or pruned already; {what} has to wait")
        try:
            yield
        finally:
            self._working.release()
