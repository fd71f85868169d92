"""Owns building what a rehearsal needs when there is no daemon: backups in a folder, and a tree.

The backups are only read: nothing is noted in them. Production is not asked; the plan is made from
where the backup stands.
"""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from shippyard.backup.catalog import Catalog
from shippyard.backup.drill.service import Drills
from shippyard.backup.layout import Layout
from shippyard.backup.model import Backup, BackupUnknown
from shippyard.backup.rebuild import Rebuild
from shippyard.backup.rehearsing import RestoredCopies
from shippyard.backup.restore.physical import WalSource
from shippyard.backup.seal import seal_of
from shippyard.backup.wal.archive import WalArchive
from shippyard.config.migration import Migration
from shippyard.config.models import Config, Database
from shippyard.host.clock import SystemClock
from shippyard.host.process import Processes
from shippyard.migration.known import Known, what_is_known
from shippyard.migration.planner import Planner
from shippyard.migration.rehearsal.copies import Progress, Restored
from shippyard.migration.rehearsal.rehearser import Rehearser
from shippyard.migration.rehearsal.report import Report
from shippyard.migration.rehearsal.store import RehearsalStore
from shippyard.migration.supervise import Supervisor
from shippyard.offline import trusted_here
from shippyard.sandbox.local import LocalHost
from shippyard.state.database import State, open_state
from shippyard.state.notes import Notes
from shippyard.telemetry.metrics import Metrics


@dataclass(frozen=True)
class Asked:
    """What to rehearse: which database's newest backup, to which revision, as which role."""

    config: Config
    database: Database
    policy: Migration
    revision: str
    migrator: str
    trust: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rehearsed:
    """The report, and the plan that was rehearsed."""

    report: Report
    known: Known


def rehearse(asked: Asked, progress: Progress) -> Rehearsed:
    """Restore the newest backup of a folder, try the tree on it, throw it away.

    Raises:
        NotRehearsed: it did not come as far as a plan.
        KeyUnusable, SecretMissing, OSError: backups or keys can't be read.
    """
    with _bench(asked) as bench:
        known: list[Known] = []

        def prepare(restored: Restored) -> Known:
            known.append(bench.known(restored))
            return known[0]

        report = bench.rehearser.rehearse_without_production(
            asked.database.name, asked.policy.rehearsal_timeout_s, prepare, progress
        )
        return Rehearsed(report, known[0])


@dataclass(frozen=True)
class _Bench:
    asked: Asked
    rehearser: Rehearser
    planner: Planner
    past: RehearsalStore

    def known(self, restored: Restored) -> Known:
        target = restored.as_user(self.asked.migrator)
        name, policy = self.asked.database.name, self.asked.policy
        prepared = self.planner.prepare(name, target, policy, self.asked.revision)
        return what_is_known(prepared, self.past, lambda found, _: found)


@contextmanager
def _bench(asked: Asked) -> Iterator[_Bench]:
    processes, clock = Processes(), SystemClock()
    with ExitStack() as undo:
        folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="shippyard-")))
        folder.chmod(0o711)  # the account that runs PostgreSQL must come through
        undo.callback(processes.end_all)
        state = undo.enter_context(open_state(folder / "state"))
        config = _as_here(asked, folder / "state")
        supervisor, past = Supervisor(processes), RehearsalStore(state)
        drills = _drills(config, processes, state, folder)
        copies = RestoredCopies(drills, {asked.database.name: asked.database})
        rehearser = Rehearser(copies, supervisor, clock, past, lambda _: ())
        yield _Bench(asked, rehearser, Planner(folder / "plans", supervisor), past)


def _as_here(asked: Asked, state_dir: Path) -> Config:
    """The configuration with a memory of our own, trusting what is trusted here."""
    config = asked.config
    trusted = tuple(sorted(trusted_here(config) | frozenset(asked.trust)))
    backup = {"trusted_keys": trusted, "signing_key_credential": None}
    return config.model_copy(
        update={
            "backup": config.backup.model_copy(update=backup),
            "daemon": config.daemon.model_copy(update={"state_dir": state_dir}),
        }
    )


def _drills(config: Config, processes: Processes, state: State, folder: Path) -> Drills:
    catalog, layout, clock = Catalog(state), Layout(config.backup.dir), SystemClock()
    Rebuild(catalog, layout, seal_of(config), Notes(state)).look(apply=True)

    def wal_of(subject: str) -> WalSource | None:
        archive = WalArchive(config.backup.dir, subject)
        return archive if archive.folder.is_dir() else None

    return Drills(
        config,
        processes=processes,
        state=state,
        metrics=Metrics(),
        clock=clock,
        tell=lambda _: None,
        backups=_Shelf(catalog, layout),
        host=LocalHost(config.backup.sandbox, processes, clock, folder / "sandboxes"),
        wal_of=wal_of,
    )


class _Shelf:
    """Backups as their manifests say, only read."""

    def __init__(self, catalog: Catalog, layout: Layout) -> None:
        self._catalog = catalog
        self._layout = layout

    def history(self, subject: str | None = None) -> list[Backup]:
        """Every backup there, newest first."""
        return self._catalog.all(subject)

    def find(self, backup_id: str) -> Backup:
        """The backup with this id.

        Raises:
            BackupUnknown: it is not there.
        """
        found = self._catalog.get(backup_id)
        if found is None:
            raise BackupUnknown(f"no backup {backup_id!r} in {self._layout.root}")
        return found

    def path(self, backup: Backup) -> Path:
        """Where its files are."""
        return self._layout.folder(backup.database, backup.id)

    def mark_drilled(self, backup_id: str, at: datetime, *, ok: bool, detail: str = "") -> Backup:
        """Nothing is noted: the folder is somebody else's."""
        del at, ok, detail
        return self.find(backup_id)
