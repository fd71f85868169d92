"""Owns one attempt at one backup, from its locks to the published folder and its record.

A name that shows in the catalog's counted states, or without a dot on disk, has been hashed and
decoded. Whatever fails before that leaves a failed row with one line, and no files. How an
artifact is made and decoded is the engine's business.
"""

from dataclasses import replace
from pathlib import Path

import structlog
from sqlalchemy.exc import SQLAlchemyError

from shippyard.backup.engines.engine import Engine, Preflight, Product
from shippyard.backup.layout import FOLDER_MODE
from shippyard.backup.manifest import (
    FileEntry,
    Manifest,
    Verification,
    parse_manifest,
    read_file,
)
from shippyard.backup.model import Backup, BackupFailed, BackupState, moved
from shippyard.backup.turns import Order, Progress, Workshop, alone
from shippyard.backup.verify import measured, unlike
from shippyard.host.files import fsync_tree
from shippyard.host.process import ProcessesStopped
from shippyard.postgres.locks import Locks
from shippyard.postgres.session import QueryFailed, Unreachable, one_line

SPACE_FACTOR = 1.3
REASON_CHARS = 500
FILE_MODE = 0o600

log = structlog.get_logger(__name__)


class NotEnoughSpace(Exception):
    """The disk would likely be full before the backup is done."""


class Unsound(Exception):
    """What was written is not what can be read back."""


def take_backup(shop: Workshop, order: Order, progress: Progress) -> Backup:
    """Make, verify, publish and record one backup.

    Raises:
        BackupBusy: one of its subject and kind is being made already, or a migration runs.
        BackupFailed: it did not succeed; the row says the same.
    """
    planned = order.planned
    try:
        shop.layout.prepare(planned.database, shop.catalog.relied_on())
        with alone(shop, order, progress) as held:
            return _Attempt(shop, order, held, progress).run()
    except (OSError, Unreachable, QueryFailed, ProcessesStopped) as error:
        reason = f"{order.name}: {_reason(error)}"
        _note_unlocked(shop, planned, reason)
        raise BackupFailed(reason) from None


class _Attempt:
    """One backup being made, under its locks."""

    def __init__(self, shop: Workshop, order: Order, held: Locks, progress: Progress) -> None:
        self._shop = shop
        self._order = order
        self._held = held
        self._progress = progress
        # It may have waited for its turn since it was planned.
        self._backup = replace(order.planned, started_at=shop.clock.now())
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
        """Every step between the locks and the visible name."""
        self._reach("preflight")
        engine = self._order.build()
        preflight = engine.preflight()
        self._refuse_without_space(preflight)
        self._reach("running")
        partial = self._shop.layout.open_partial(self._backup.database, self._backup.id)
        product = engine.make(partial, preflight, self._on_size)
        self._reach("exited")
        _close_to_others(partial)
        fsync_tree(partial)
        self._reach("fsynced")
        files, verification = self._verify(engine, partial, product)
        self._reach("verified")
        manifest = self._manifest(product, files, verification)
        self._seal(partial, manifest)
        self._reach("manifested")
        self._held.prove()
        self._shop.layout.publish(self._backup.database, self._backup.id)
        return manifest

    def _refuse_without_space(self, preflight: Preflight) -> None:
        last = self._shop.catalog.newest_published(self._backup.database, self._backup.kind)
        by_last = int(SPACE_FACTOR * (last.size_bytes or 0)) if last else 0
        needed = max(by_last, preflight.expected_bytes or 0)
        free = self._shop.layout.free_bytes()
        if free <= needed:
            raise NotEnoughSpace(
                f"{free} bytes free in {self._shop.layout.root}, {needed} needed; "
                "free some, or see `shippyard ctl backup prune`"
            )

    def _verify(
        self, engine: Engine, partial: Path, product: Product
    ) -> tuple[tuple[FileEntry, ...], Verification]:
        started = self._shop.clock.monotonic()
        files = measured(partial)
        self._say(sum(file.size_bytes for file in files))
        if problems := unlike(product.hashes, files):
            raise Unsound("; ".join(problems))
        method, problems = engine.verify(partial, files)
        if problems:
            raise Unsound("; ".join(problems))
        return files, Verification(
            method=method,
            finished_at=self._shop.clock.now(),
            elapsed_s=self._shop.clock.monotonic() - started,
        )

    def _manifest(
        self, product: Product, files: tuple[FileEntry, ...], verification: Verification
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
            source=product.source,
            made=product.made,
            files=files,
            verification=verification,
            cluster=self._order.cluster,
            parent=product.parent,
            wal_first=product.wal_first,
            environment=product.environment,
            content=product.content,
            external=product.external,
            external_bytes=product.external_bytes,
        )

    def _seal(self, partial: Path, manifest: Manifest) -> None:
        """A manifest that can't be read back would be no manifest when it is needed."""
        seal = self._shop.seal
        seal.write(partial, manifest)
        if parse_manifest(read_file(partial), seal.trusted) != manifest:
            raise Unsound("the manifest reads back as another one than was written")

    def _enter_catalog(self) -> None:
        """From planned to locked: an attempt that did not get the locks leaves no row."""
        self._backup = moved(self._backup, "locked")
        try:
            self._shop.catalog.add(self._backup)
        except SQLAlchemyError as error:
            raise BackupFailed(_reason(error)) from error
        self._say(0)

    def _reach(self, state: BackupState) -> None:
        self._held.check()
        self._backup = self._shop.catalog.move(self._backup, moved(self._backup, state))
        self._say(None)

    def _on_size(self, size_bytes: int) -> None:
        """While the engine works: without our locks it must not go on."""
        self._held.check()
        self._say(size_bytes)

    def _say(self, size_bytes: int | None) -> None:
        said = {"id": self._backup.id, "phase": self._backup.state}
        self._progress(said if size_bytes is None else said | {"size_bytes": size_bytes})

    def _record(self, manifest: Manifest) -> Backup:
        published = replace(
            moved(self._backup, "published"),
            finished_at=manifest.finished_at,
            duration_s=manifest.duration_s,
            size_bytes=manifest.size_bytes,
            parent=manifest.parent,
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


def _close_to_others(folder: Path) -> None:
    """Some tools take modes from the umask. Until here the closed folder alone kept others out."""
    for path in folder.rglob("*"):
        path.chmod(FOLDER_MODE if path.is_dir() else FILE_MODE)


def _note_unlocked(shop: Workshop, planned: Backup, reason: str) -> None:
    """What can't even begin is a failure like any other: it leaves a row that says so."""
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
