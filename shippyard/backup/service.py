"""Owns what the rest of the daemon may ask of backups: take, find, verify, prune, recover.

Keeps the backup metrics true and tells `on_outcome` how every attempt ended. Schedules, sockets
and alerts are joined on from outside.
"""

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from shippyard.backup.catalog import Catalog, Overtaken
from shippyard.backup.engines.pg_dump import DumpFailed, undecodable
from shippyard.backup.gauges import Gauges
from shippyard.backup.job import BackupBusy, Progress, Workshop, take_backup
from shippyard.backup.layout import Layout
from shippyard.backup.lock import Busy, exclusive
from shippyard.backup.manifest import Manifest, ManifestUnusable
from shippyard.backup.model import (
    Backup,
    BackupFailed,
    BackupState,
    Kind,
    Published,
    Reason,
    moved,
    new_id,
    published_facts,
)
from shippyard.backup.reconcile import Reconciled, finish_deletions, notice, reconcile
from shippyard.backup.retention import Decision, select_expired
from shippyard.backup.seal import seal_of
from shippyard.backup.verify import absent_files, content_problems
from shippyard.config.models import Config
from shippyard.host.clock import Clock
from shippyard.host.process import Processes, ProcessesStopped
from shippyard.postgres.session import one_line
from shippyard.postgres.target import Target
from shippyard.postgres.tools import ToolsMissing, tools_for
from shippyard.state.database import State
from shippyard.telemetry.metrics import Metrics

OnOutcome = Callable[[str, Kind, str | None], None]
"""Told the database, the kind, and the error of an attempt, or None when it ended well."""

# A backup in one of these can be read again; the others have no files.
VERIFIABLE: frozenset[BackupState] = frozenset(
    {"published", "replicated", "drilled", "missing", "damaged"}
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Verified:
    """What a second look at a published backup found."""

    id: str
    ok: bool
    problems: tuple[str, ...]
    elapsed_s: float


@dataclass(frozen=True)
class Pruned:
    """What retention decided, and the ids that were deleted."""

    decisions: tuple[Decision, ...]
    deleted: tuple[str, ...]


class BackupService:
    """The backups of all databases of one configuration. Safe to use from any thread."""

    def __init__(
        self,
        config: Config,
        targets: Mapping[str, Target],
        *,
        processes: Processes,
        state: State,
        metrics: Metrics,
        clock: Clock,
        on_outcome: OnOutcome = lambda _database, _kind, _error: None,
    ) -> None:
        """`targets` says how the backup role reaches each database, by its name in config."""
        self._config = config
        self._targets = targets
        self._processes = processes
        self._clock = clock
        self._on_outcome = on_outcome
        self._layout = Layout(config.backup.dir)
        self._catalog = Catalog(state)
        self._seal = seal_of(config)
        self._gauges = Gauges(metrics, self._catalog, targets)
        self._unseen: Mapping[str, str] = {}

    def recover(self) -> Reconciled:
        """At start: make catalog and disk agree, then say in metrics what there is."""
        done = reconcile(self._catalog, self._layout, self._seal)
        self.refresh_metrics()
        return done

    def run(
        self,
        database: str,
        kind: Kind,
        reason: Reason,
        *,
        held_by: str | None = None,
        progress: Progress = lambda _: None,
    ) -> Backup:
        """Take one backup and prove it.

        Raises:
            BackupBusy: one of this database and kind is being made already.
            BackupFailed: it did not succeed; one line, without secrets.
        """
        now = self._clock.now()
        planned = Backup(new_id(kind, now), database, kind, "planned", reason, now, held_by=held_by)
        shop = Workshop(
            self._config, self._layout, self._catalog, self._seal, self._processes, self._clock
        )
        try:
            backup = take_backup(shop, self._target(database), planned, progress)
        except BackupBusy:
            raise
        except BackupFailed as error:
            self._note_failure(planned, str(error))
            raise
        self._note_success(backup)
        return backup

    def take(self, database: str, *, held_by: str, progress: Progress) -> Published:
        """A full dump before a migration, kept for as long as `held_by` may need it.

        Raises:
            BackupFailed: there is none; one line.
        """
        backup = self.run(database, "dump", "pre_migration", held_by=held_by, progress=progress)
        return published_facts(backup)

    def release(self, database: str, *, held_by: str) -> None:
        """The run `held_by` needs no way back: retention may judge what it held like any other."""
        self._let_go(b for b in self._catalog.held(database) if b.held_by == held_by)

    def release_earlier(self, database: str, *, than: str) -> None:
        """The run `than` succeeded: nobody goes back to what other runs of the database held.

        A database has one run at a time, so all others came before.
        """
        self._let_go(b for b in self._catalog.held(database) if b.held_by != than)

    def newest(self, database: str) -> Published | None:
        """The newest full dump that counts and whose files are there, or None.

        While the folder can't be read that is None too: what can't be seen can't be relied on.
        """
        if database in self._notice():
            return None
        newest = self._catalog.newest_published(database, "dump")
        return published_facts(newest) if newest else None

    def history(self, database: str | None = None) -> list[Backup]:
        """Every attempt that is remembered, newest first."""
        return self._catalog.all(database)

    def find(self, backup_id: str) -> Backup:
        """The backup with this id.

        Raises:
            BackupFailed: there is none.
        """
        backup = self._catalog.get(backup_id)
        if backup is None:
            raise BackupFailed(f"no backup {backup_id}; see `shippyard ctl backup list --all`")
        return backup

    def manifest(self, backup_id: str) -> dict[str, Any] | None:
        """The manifest as it was recorded; None when the attempt never had one."""
        return self._catalog.document(backup_id)

    def path(self, backup: Backup) -> Path:
        """Where the backup's files are, or were."""
        return self._layout.folder(backup.database, backup.id)

    def verify(self, backup_id: str) -> Verified:
        """Read a backup again, every byte; what it finds decides whether it counts.

        Raises:
            BackupFailed: no such backup, or it could not be looked at.
        """
        backup = self.find(backup_id)
        if backup.state not in VERIFIABLE:
            raise BackupFailed(f"{backup_id} is {backup.state}: it has no files to verify")
        if why := self._layout.unseen(backup.database):
            raise BackupFailed(f"{backup_id} can't be looked at: {why}; is it mounted?")
        started = self._clock.monotonic()
        found, problems = self._look_again(backup)
        try:
            self._settle(backup, found, problems)
        except Overtaken as error:
            raise BackupFailed(f"{error}: it changed while it was read") from None
        elapsed_s = self._clock.monotonic() - started
        log.info("backup.verified", id=backup_id, ok=not problems, elapsed_s=elapsed_s)
        return Verified(backup_id, not problems, tuple(problems), elapsed_s)

    def prune(self, *, apply: bool) -> Pruned:
        """What retention would delete; with `apply`, delete it. What can't be seen is left out.

        Raises:
            BackupFailed: somebody else is pruning, or files could not be deleted.
        """
        unseen = self._notice()
        known = [
            b
            for b in self._catalog.all()
            if self._config.database(b.database) and b.database not in unseen
        ]
        decisions = select_expired(known, self._config.backup.keep, self._clock.now())
        deleted = self._delete({d.id for d in decisions if not d.keep}) if apply else []
        return Pruned(tuple(decisions), tuple(deleted))

    def refresh_metrics(self) -> None:
        """Set the gauges to what the catalog says; what is unknown is absent.

        One read of the catalog and none of the disk. Fine at any time and again.
        """
        self._gauges.show_all()

    def forget_metrics(self, databases: Iterable[str]) -> None:
        """Remove the gauges of databases that left the configuration.

        This service shows nothing of them after, though a backup of theirs may still be under way.
        Counters stay: they are no less true.
        """
        self._gauges.forget(databases)

    def _target(self, database: str) -> Target:
        if database not in self._targets:
            known = ", ".join(sorted(self._targets))
            raise BackupFailed(f"no database {database!r} in the configuration; there is {known}")
        return self._targets[database]

    def _delete(self, doomed: set[str]) -> list[str]:
        """Tombstones first, so that a crash leaves nothing that is half there and counts."""
        if not doomed:
            return []
        try:
            with exclusive(self._layout.prune_lock(), "pruning"):
                for backup_id in sorted(doomed):
                    backup = self.find(backup_id)
                    with contextlib.suppress(Overtaken):
                        self._catalog.move(backup, moved(backup, "expired"))
                deleted = finish_deletions(self._catalog, self._layout)
        except Busy as busy:
            raise BackupFailed(f"backups are being pruned already ({busy})") from None
        except OSError as error:
            raise BackupFailed(f"can't delete: {one_line(error)}") from None
        finally:
            self.refresh_metrics()
        self._count_deleted(deleted)
        return deleted

    def _let_go(self, held: Iterable[Backup]) -> None:
        for backup in held:
            if self._catalog.let_go(backup):
                log.info("backup.released", id=backup.id, held_by=backup.held_by)

    def _count_deleted(self, deleted: list[str]) -> None:
        for backup in map(self.find, deleted):
            self._gauges.count_deleted(backup.database, backup.kind)

    def _notice(self) -> Mapping[str, str]:
        """Look whether files are there, tell what changed, and give what can't be seen."""
        noticed = notice(self._catalog, self._layout, self._seal)
        for backup in (*noticed.missing, *noticed.returned):
            self._gauges.show(backup.database, backup.kind)
            error = None if backup.counts else f"{backup.id} is {backup.error}"
            self._on_outcome(backup.database, backup.kind, error)
        self._say_what_is_unseen(noticed.unseen)
        return noticed.unseen

    def _say_what_is_unseen(self, unseen: Mapping[str, str]) -> None:
        """Once when it begins and once when it ends: this is asked every few seconds."""
        before, self._unseen = self._unseen, unseen
        for database in unseen.keys() - before.keys():
            log.error("backup.unseen", database=database, reason=unseen[database])
        for database in before.keys() - unseen.keys():
            log.info("backup.seen_again", database=database)

    def _look_again(self, backup: Backup) -> tuple[BackupState, list[str]]:
        """The state that the files deserve, and what is wrong with them."""
        folder = self.path(backup)
        try:
            manifest = self._seal.read(folder)
        except ManifestUnusable as error:
            return "missing", [str(error)]
        if absent := absent_files(folder, manifest):
            return "missing", absent
        problems = self._content_problems(folder, manifest)
        return ("damaged" if problems else "published"), problems

    def _content_problems(self, folder: Path, manifest: Manifest) -> list[str]:
        try:
            # pg_restore reads what its own major or an older one wrote.
            tools = tools_for(self._processes, manifest.made.tool_major, self._config.tools_dirs)
            timeout_s = self._config.backup.timeout_s
            decode = partial(undecodable, self._processes, tools, timeout_s=timeout_s)
            return content_problems(folder, manifest, decode)
        except (DumpFailed, ToolsMissing, ProcessesStopped, OSError) as error:
            raise BackupFailed(f"{manifest.id} could not be verified: {one_line(error)}") from None

    def _settle(self, backup: Backup, found: BackupState, problems: list[str]) -> None:
        """Record what a second look found, where it changes whether the backup counts."""
        if backup.counts == (found == "published"):
            return
        if found == "published":
            self._catalog.move(backup, moved(backup, "published"))
        else:
            error = f"{found}: {problems[0]}"
            self._catalog.move(backup, moved(backup, found, error))
            self._on_outcome(backup.database, backup.kind, f"{backup.id} is {error}")
        self._gauges.show(backup.database, backup.kind)

    def _note_success(self, backup: Backup) -> None:
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
        self._on_outcome(backup.database, backup.kind, None)

    def _note_failure(self, planned: Backup, error: str) -> None:
        if self._config.database(planned.database):
            self._gauges.count_run(planned.database, planned.kind, "failed")
        log.error(
            "backup.failed",
            id=planned.id,
            database=planned.database,
            kind=planned.kind,
            reason=planned.reason,
            error=error,
        )
        self._on_outcome(planned.database, planned.kind, error)
