"""Owns what happens to a backup after it was published: holds, second looks, copies, drills.

Each is appended to the signed manifest first, which is the truth, and then noted in the catalog.
"""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import structlog

from shippyard.backup.catalog import Catalog, Overtaken
from shippyard.backup.history import with_event
from shippyard.backup.layout import Layout
from shippyard.backup.manifest import Event, Manifest, ManifestUnusable
from shippyard.backup.model import OPERATOR, Backup, BackupFailed, settled
from shippyard.backup.seal import Seal
from shippyard.host.clock import Clock
from shippyard.postgres.session import one_line

WHY_CHARS = 200

log = structlog.get_logger(__name__)

_WRITING = threading.RLock()
"""One for all: the service of before a reload may still note the end of a drill."""


class Events:
    """Notes what became of published backups. Safe from any thread."""

    def __init__(self, catalog: Catalog, layout: Layout, seal: Seal, clock: Clock) -> None:
        self._catalog = catalog
        self._layout = layout
        self._seal = seal
        self._clock = clock

    def note(self, backup: Backup, event: Event) -> Manifest:
        """Append to the history in the manifest, signed anew.

        Raises:
            BackupFailed: the manifest can't be read or written; nothing is changed then.
        """
        folder = self._layout.folder(backup.database, backup.id)
        with _WRITING:
            try:
                manifest = with_event(self._seal.read(folder), event)
                self._seal.write(folder, manifest)
            except (ManifestUnusable, OSError) as error:
                said = f"{event.what} can't be noted in the manifest of {backup.id}"
                raise BackupFailed(f"{said}: {one_line(error)}") from None
            self._catalog.keep_document(manifest)
        return manifest

    def looked(self, backup: Backup, problems: list[str]) -> None:
        """Somebody read the whole backup again and found `problems`, or none."""
        what = Event(self._clock.now(), "damaged" if problems else "verified", _cut(problems))
        try:
            self.note(backup, what)
        except BackupFailed as error:
            log.warning("backup.unnoted", id=backup.id, reason=str(error))

    def hold(self, backup: Backup, why: str) -> Backup:
        """Keep a backup from retention until it is released.

        Raises:
            BackupFailed: it does not count, somebody holds it already, or it can't be noted.
        """
        if not backup.counts:
            raise BackupFailed(f"{backup.id} is {backup.state}: there is nothing to hold")
        if backup.held_by is not None:
            raise BackupFailed(f"{backup.id} is held already, by {backup.held_by}")
        by = OPERATOR + " ".join(why.split())[:WHY_CHARS]
        self.note(backup, Event(self._clock.now(), "held", by))
        if not self._catalog.hold(backup, by):
            raise BackupFailed(f"{backup.id} changed meanwhile; look at it and try again")
        log.info("backup.held", id=backup.id, held_by=by)
        return replace(backup, held_by=by)

    def release(self, backup: Backup) -> Backup:
        """Nobody holds it any more, whoever did.

        Raises:
            BackupFailed: nobody holds it, or it can't be noted.
        """
        if backup.held_by is None:
            raise BackupFailed(f"{backup.id} is held by nobody")
        self.note(backup, Event(self._clock.now(), "released", backup.held_by))
        self._let_go_in_catalog(backup)
        return replace(backup, held_by=None)

    def let_go(self, backup: Backup) -> None:
        """As `release`, for a run that ended: a manifest that can't be written is no hindrance."""
        event = Event(self._clock.now(), "released", backup.held_by or "")
        try:
            self.note(backup, event)
        except BackupFailed as error:
            log.warning("backup.unnoted", id=backup.id, reason=str(error))
        self._let_go_in_catalog(backup)

    def replicated(self, backup: Backup, at: datetime, where: str) -> Backup:
        """A copy off the machine was read back and is equal.

        Raises:
            BackupFailed: it does not count, changed meanwhile, or can't be noted.
        """
        return self._mark(
            backup, Event(at, "replicated", where), lambda b: replace(b, replicated_at=at)
        )

    def drilled(self, backup: Backup, at: datetime, *, ok: bool, detail: str) -> Backup:
        """It was restored; `ok` when all was found as it was. Failing takes earlier proof back.

        Raises:
            BackupFailed: it does not count, changed meanwhile, or can't be noted.
        """
        event = Event(at, "drilled" if ok else "drill_failed", _cut([detail]))
        return self._mark(backup, event, lambda b: replace(b, drilled_at=at if ok else None))

    def _mark(self, backup: Backup, event: Event, stamped: Callable[[Backup], Backup]) -> Backup:
        with _WRITING:
            before = self._catalog.get(backup.id) or backup
            if not before.counts:
                raise BackupFailed(f"{before.id} is {before.state}; {event.what} means nothing now")
            self.note(before, event)
            try:
                return self._catalog.mark(before, settled(stamped(before)))
            except Overtaken as error:
                raise BackupFailed(f"{error}: it changed while it was {event.what}") from None

    def _let_go_in_catalog(self, backup: Backup) -> None:
        if self._catalog.let_go(backup):
            log.info("backup.released", id=backup.id, held_by=backup.held_by)


def _cut(lines: list[str]) -> str:
    """The first line, short enough for a history."""
    return one_line(Exception(lines[0]))[:WHY_CHARS] if lines and lines[0] else ""
