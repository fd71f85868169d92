"""Owns one attempt at one backup, from the lock to the published folder and its record.

A name that shows in the catalog's counted states, or without a dot on disk, has been hashed and
decoded. Whatever fails before that leaves a failed row with one line, and no files.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from shippyard.backup.catalog import Catalog
from shippyard.backup.engines import pg_dump
from shippyard.backup.layout import Layout
from shippyard.backup.lock import Busy, exclusive
from shippyard.backup.manifest import (
    FileEntry,
    Made,
    Manifest,
    Source,
    Verification,
)
from shippyard.backup.model import Backup, BackupFailed, BackupState, moved
from shippyard.backup.seal import Seal
from shippyard.backup.source import look_at_source
from shippyard.backup.verify import measure
from shippyard.config.models import Config
from shippyard.host.clock import Clock
from shippyard.host.files import fsync_tree
from shippyard.host.process import Processes, ProcessesStopped
from shippyard.postgres.session import one_line
from shippyard.postgres.target import Target
from shippyard.postgres.tools import Tools, tools_for

SPACE_FACTOR = 1.3
REASON_CHARS = 500

Progress = Callable[[Mapping[str, Any]], None]
"""Told the id, the phase and the size so far, at most about five times a second."""

log = structlog.get_logger(__name__)


class BackupBusy(BackupFailed):
    """One of the same database and kind is being made; nothing was attempted."""


class NotEnoughSpace(Exception):
    """The disk would likely be full before the backup is done."""


@dataclass(frozen=True)
class Workshop:
    """What every attempt uses."""

    config: Config
    layout: Layout
    catalog: Catalog
    seal: Seal
    processes: Processes
    clock: Clock


def take_backup(shop: Workshop, target: Target, planned: Backup, progress: Progress) -> Backup:
    """Make, verify, publish and record one backup.

    Raises:
        BackupBusy: one of its database and kind is being made already.
        BackupFailed: it did not succeed; the row says the same.
    """
    layout, name = shop.layout, f"{planned.kind} backup of {planned.database}"
    try:
        layout.prepare(planned.database, shop.catalog.relied_on())
        with exclusive(layout.lock(planned.database, planned.kind), planned.id):
            return _Attempt(shop, target, planned, progress).run()
    except Busy as busy:
        raise BackupBusy(f"a {name} is being made already ({busy}); wait for its end") from None
    except OSError as error:
        reason = f"{name}: {_reason(error)}"
        _note_unlocked(shop, planned, reason)
        raise BackupFailed(reason) from None


class _Attempt:
    """One backup being made, under its lock."""

    def __init__(self, shop: Workshop, target: Target, planned: Backup, progress: Progress) -> None:
        self._shop = shop
        self._target = target
        self._backup = planned
        self._progress = progress
        self._started = shop.clock.monotonic()

    def run(self) -> Backup:
        self._enter_catalog()
        try:
            manifest = self._make()
        except Exception as error:
            reason = _reason(error)
            self._give_up(reason)
            raise BackupFailed(reason) from error
        return self._record(manifest)

    def _make(self) -> Manifest:
        """Every step between the lock and the visible name."""
        self._reach("preflight")
        source, tools = self._preflight()
        self._reach("running")
        file, made = self._dump(tools)
        self._reach("exited")
        fsync_tree(file.parent)
        self._reach("fsynced")
        entry, verification = self._verify(tools, file)
        self._reach("verified")
        manifest = self._manifest(source, made, entry, verification)
        self._shop.seal.write(file.parent, manifest)
        self._reach("manifested")
        self._shop.layout.publish(self._backup.database, self._backup.id)
        return manifest

    def _preflight(self) -> tuple[Source, Tools]:
        source, major = look_at_source(self._target)
        tools = tools_for(self._shop.processes, major, self._shop.config.tools_dirs)
        self._refuse_without_space()
        return source, tools

    def _refuse_without_space(self) -> None:
        last = self._shop.catalog.newest_published(self._backup.database, self._backup.kind)
        needed = int(SPACE_FACTOR * (last.size_bytes or 0)) if last else 0
        free = self._shop.layout.free_bytes()
        if free <= needed:
            raise NotEnoughSpace(
                f"{free} bytes free in {self._shop.layout.root}, {needed} needed; "
                "free some, or see `shippyard ctl backup prune`"
            )

    def _dump(self, tools: Tools) -> tuple[Path, Made]:
        backup, settings = self._backup, self._shop.config.backup
        partial = self._shop.layout.open_partial(backup.database, backup.id)
        file = partial / pg_dump.artifact_name(backup.database, backup.kind)
        argv = pg_dump.dump_argv(
            tools, self._target, backup.kind, file, settings.lock_wait_timeout_s
        )
        version = pg_dump.tool_version(self._shop.processes, tools)
        pg_dump.write_artifact(
            self._shop.processes,
            argv,
            self._target,
            file,
            timeout_s=settings.timeout_s,
            on_size=self._say,
        )
        return file, Made(version, tools.major, tuple(argv))

    def _verify(self, tools: Tools, file: Path) -> tuple[FileEntry, Verification]:
        started = self._shop.clock.monotonic()
        entry = measure(file)
        self._say(entry.size_bytes)
        timeout_s = self._shop.config.backup.timeout_s
        if problem := pg_dump.undecodable(self._shop.processes, tools, file, timeout_s):
            raise pg_dump.DumpFailed(f"{file.name} can't be decoded: {problem}")
        return entry, Verification(
            method="sha256, end marker" if self._backup.kind == "schema" else "sha256, full decode",
            finished_at=self._shop.clock.now(),
            elapsed_s=self._shop.clock.monotonic() - started,
        )

    def _manifest(
        self, source: Source, made: Made, entry: FileEntry, verification: Verification
    ) -> Manifest:
        backup = self._backup
        return Manifest(
            id=backup.id,
            database=backup.database,
            kind=backup.kind,
            reason=backup.reason,
            held_by=backup.held_by,
            started_at=backup.started_at,
            finished_at=verification.finished_at,
            duration_s=self._shop.clock.monotonic() - self._started,
            source=source,
            made=made,
            files=(entry,),
            verification=verification,
        )

    def _enter_catalog(self) -> None:
        """From planned to locked: an attempt that did not get the lock leaves no row."""
        self._backup = moved(self._backup, "locked")
        try:
            self._shop.catalog.add(self._backup)
        except SQLAlchemyError as error:
            raise BackupFailed(_reason(error)) from error
        self._say(0)

    def _reach(self, state: BackupState) -> None:
        self._backup = self._shop.catalog.move(self._backup, moved(self._backup, state))
        self._say(None)

    def _say(self, size_bytes: int | None) -> None:
        said = {"id": self._backup.id, "phase": self._backup.state}
        self._progress(said if size_bytes is None else said | {"size_bytes": size_bytes})

    def _record(self, manifest: Manifest) -> Backup:
        published = replace(
            moved(self._backup, "published"),
            finished_at=manifest.finished_at,
            duration_s=manifest.duration_s,
            size_bytes=manifest.size_bytes,
        )
        try:
            return self._shop.catalog.move(self._backup, published, manifest)
        except SQLAlchemyError as error:
            raise BackupFailed(
                f"{published.id} is whole on disk but could not be recorded ({_reason(error)}); "
                "the daemon takes it in at its next start"
            ) from error

    def _give_up(self, reason: str) -> None:
        """Leave no files and a row that says why; what can't be done now, the next start does."""
        failed = replace(
            moved(self._backup, "failed", reason),
            finished_at=self._shop.clock.now(),
            duration_s=self._shop.clock.monotonic() - self._started,
        )
        try:
            self._shop.layout.remove(self._backup.database, self._backup.id)
        except OSError as error:
            log.error("backup.leftover", id=self._backup.id, reason=one_line(error))
        try:
            self._shop.catalog.move(self._backup, failed)
        except SQLAlchemyError as error:
            log.error("backup.unrecorded", id=self._backup.id, reason=one_line(error))


def _note_unlocked(shop: Workshop, planned: Backup, reason: str) -> None:
    """A folder that can't be used is a failure like any other: it leaves a row that says so."""
    failed = replace(moved(planned, "failed", reason), finished_at=shop.clock.now())
    try:
        if shop.catalog.get(planned.id) is None:
            shop.catalog.add(failed)
    except SQLAlchemyError as error:
        log.error("backup.unrecorded", id=planned.id, reason=one_line(error))


def _reason(error: Exception) -> str:
    """Why it failed, as one line without secrets."""
    if isinstance(error, ProcessesStopped):
        return "stopped: the daemon is stopping"
    return one_line(error)[:REASON_CHARS]
