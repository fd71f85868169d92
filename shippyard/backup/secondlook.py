"""Owns reading a published backup again, every byte, and what follows for whether it counts."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from shippyard.backup.catalog import Catalog, Overtaken
from shippyard.backup.engines.engine import Engine, EngineFailed
from shippyard.backup.events import Events
from shippyard.backup.layout import Layout
from shippyard.backup.manifest import Manifest, ManifestUnusable
from shippyard.backup.model import Backup, BackupFailed, BackupState, moved
from shippyard.backup.reconcile import returned
from shippyard.backup.seal import Seal
from shippyard.backup.verify import absent_files, content_problems
from shippyard.host.clock import Clock
from shippyard.host.process import ProcessesStopped
from shippyard.postgres.session import one_line

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


class SecondLook:
    """Looks again. `engine_of` gives the engine that decodes a manifest's artifact."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        layout: Layout,
        seal: Seal,
        events: Events,
        clock: Clock,
        engine_of: Callable[[Manifest], Engine],
    ) -> None:
        self._catalog = catalog
        self._layout = layout
        self._seal = seal
        self._events = events
        self._clock = clock
        self._engine_of = engine_of

    def at(self, backup: Backup) -> tuple[Verified, bool]:
        """What was found, and whether it counts otherwise than before.

        Raises:
            BackupFailed: it could not be looked at, or changed meanwhile.
        """
        if backup.state not in VERIFIABLE:
            raise BackupFailed(f"{backup.id} is {backup.state}: it has no files to verify")
        if why := self._layout.unseen(backup.database):
            raise BackupFailed(f"{backup.id} can't be looked at: {why}; is it mounted?")
        started = self._clock.monotonic()
        found, problems = self._look(backup)
        if found != "missing":
            self._events.looked(backup, problems)
        try:
            changed = self._settle(backup, found, problems)
        except Overtaken as error:
            raise BackupFailed(f"{error}: it changed while it was read") from None
        elapsed_s = self._clock.monotonic() - started
        log.info("backup.verified", id=backup.id, ok=not problems, elapsed_s=elapsed_s)
        return Verified(backup.id, not problems, tuple(problems), elapsed_s), changed

    def _look(self, backup: Backup) -> tuple[BackupState, list[str]]:
        """The state that the files deserve, and what is wrong with them."""
        folder = self._layout.folder(backup.database, backup.id)
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
            return content_problems(folder, manifest, self._engine_of(manifest))
        except (EngineFailed, ProcessesStopped, OSError) as error:
            raise BackupFailed(f"{manifest.id} could not be verified: {one_line(error)}") from None

    def _settle(self, backup: Backup, found: BackupState, problems: list[str]) -> bool:
        """Record what a second look found, where it changes whether the backup counts."""
        if backup.counts == (found == "published"):
            return False
        if found == "published":
            self._catalog.move(backup, returned(backup))
        else:
            self._catalog.move(backup, moved(backup, found, f"{found}: {problems[0]}"))
        return True
