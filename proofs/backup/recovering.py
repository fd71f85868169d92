"""Owns a stage for proofs of physical restores: base backups of a server, servers made of them.

The restored server runs durably and on its own settings, as one that is handed back would.
"""

import contextlib
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from bench.data import build
from proofs.backup.shelf import Shelf, shelf
from proofs.waiting import until
from shippyard.backup.engines.pg_basebackup import BaseEngine
from shippyard.backup.manifest import Manifest, Verification
from shippyard.backup.restore.feeder import WalFeeder
from shippyard.backup.restore.physical import BaseFiles, LaidOut, lay_out, recovery_settings
from shippyard.backup.restore.plan import plan_recovery
from shippyard.backup.restore.point import LATEST
from shippyard.backup.verify import measured
from shippyard.backup.wal.archive import WalArchive
from shippyard.config.models import ClusterBackup
from shippyard.host.accounts import account_for_postgres
from shippyard.host.clock import SystemClock
from shippyard.postgres.embedded import EmbeddedCluster
from shippyard.postgres.tools import Tools

SUBJECT = "@main"
JOBS = 2
START_S = 600.0
ARCHIVED_S = 120.0
# Room that a server of two gigabytes has; a scratch cluster's own is smaller.
ROOM = {"shared_buffers": "256MB", "max_wal_size": "4GB", "fsync": "on"}
DIGEST = "SELECT count(*), sum(hashtextextended(t::text, 0)) FROM {table} t"
TABLES = ("pgbench_accounts", "orders")


@dataclass(frozen=True)
class Back:
    """A server that came back, and what it took. `replay_s` is until it took writes."""

    digests: list[Any]
    laid: LaidOut
    unpack_s: float
    replay_s: float
    segments: int


@dataclass
class Stage:
    """One production server with WAL archived as files, and base backups of it."""

    shelf: Shelf
    folder: Path
    bases: list[tuple[Path, Manifest]] = field(default_factory=list)

    @property
    def raw(self) -> Path:
        """Where archive_command copies segments to."""
        return self.folder / "raw"

    def base(self, parent: tuple[Path, Manifest] | None = None) -> tuple[Path, Manifest]:
        """A base backup, taken and verified as a job does."""
        folder = self.folder / "bases" / str(len(self.bases))
        folder.mkdir(parents=True, mode=0o700)
        engine = BaseEngine(
            self.shelf.target,
            ClusterBackup(),
            self.shelf.config,
            self.shelf.processes,
            SystemClock(),
            parent=parent,
        )
        started = datetime.now(UTC)
        product = engine.make(folder, engine.preflight(), lambda _: None)
        files = measured(folder)
        method, problems = engine.verify(folder, files)
        assert not problems, problems
        now = datetime.now(UTC)
        manifest = Manifest(
            id=f"{folder.name}-{folder.parent.parent.name}",
            database=SUBJECT,
            kind="base",
            reason="manual",
            held_by=None,
            started_at=started,
            finished_at=now,
            duration_s=(now - started).total_seconds(),
            source=product.source,
            made=product.made,
            files=files,
            verification=Verification(method, now, 0.0),
            parent=product.parent,
            wal_first=product.wal_first,
        )
        self.bases.append((folder, manifest))
        return self.bases[-1]

    def digests(self) -> list[Any]:
        """Rows and content of the tables that are compared."""
        return digests(self.shelf.cluster, self.shelf.target.dbname)

    def archive(self) -> WalArchive:
        """All WAL so far, compressed and listed as the daemon keeps it."""
        # At a segment's very beginning this names the one before.
        newest = self._asked("SELECT pg_walfile_name(pg_switch_wal())")
        rows = "SELECT last_archived_wal FROM pg_stat_archiver"
        until(lambda: (self._asked(rows) or "") >= str(newest), ARCHIVED_S, "WAL archived")
        kept = WalArchive(self.folder / "kept", SUBJECT)
        kept.prepare()
        for file in sorted(self.raw.iterdir()):
            kept.put(file, datetime.now(UTC))
        return kept

    def place(self, name: str) -> Path:
        """An empty folder of the server's account."""
        place = self.folder / name
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(mode=0o755)
        if account := account_for_postgres():
            shutil.chown(place, account)
        return place

    def unpacked(
        self, place: Path, bases: Sequence[tuple[Path, Manifest]]
    ) -> tuple[LaidOut, float]:
        """A backup's files in `data` of a folder, on disk; and the seconds it took."""
        begun = time.monotonic()
        laid = lay_out(
            BaseFiles(tuple(f for f, _ in bases), tuple(m for _, m in bases)),
            place / "data",
            place / "tablespaces",
            processes=self.shelf.processes,
            tools=self.shelf.tools,
            account=account_for_postgres(),
            jobs=JOBS,
            on_size=lambda _: None,
        )
        return laid, time.monotonic() - begun

    def back(
        self,
        *bases: tuple[Path, Manifest],
        source: WalArchive | None = None,
        command: str | None = None,
    ) -> Back:
        """Restore to the latest point; `command` feeds the WAL instead of our own feeder."""
        place = self.place("back")
        plan = plan_recovery(bases[-1][1], source, LATEST)
        laid, unpack_s = self.unpacked(place, bases)
        settings = recovery_settings(plan.point, place / "spool")
        settings |= {"restore_command": command} if command else {}
        feeder = WalFeeder(source, place / "spool", plan, laid, account=account_for_postgres())
        with contextlib.nullcontext() if command else feeder as feeding:
            with running(self.shelf, place, laid.data_dir, settings) as (server, replay_s):
                segments = feeding.check().segments if feeding else 0
                found = digests(server, self.shelf.target.dbname)
        return Back(found, laid, unpack_s, replay_s, segments)

    def _asked(self, question: str) -> Any:
        target = self.shelf.cluster.target()
        with psycopg.connect(**target.conninfo(), autocommit=True) as connection:
            row = connection.execute(question.encode()).fetchone()
        return row[0] if row else None


@contextlib.contextmanager
def stage(
    folder: Path, tools: Tools, scale: int, settings: Mapping[str, str] | None = None
) -> Iterator[Stage]:
    """A server with the bench's database in it; all is gone at the end."""
    folder.mkdir(mode=0o755, exist_ok=True)
    raw = folder / "raw"
    raw.mkdir()
    raw.chmod(0o777)
    archived = {
        "archive_mode": "on",
        "archive_command": f"cp %p {raw}/.%f && mv {raw}/.%f {raw}/%f",
    }
    told = {**ROOM, **archived, **(settings or {})}
    with shelf(folder / "shelf", tools, content="", settings=told) as made:
        build(made.processes, tools, made.target, scale)
        yield Stage(made, folder)


@contextlib.contextmanager
def running(
    shelf: Shelf, place: Path, data_dir: Path, settings: Mapping[str, str]
) -> Iterator[tuple[EmbeddedCluster, float]]:
    """A server from laid out files that takes writes, and the seconds from its start to that."""
    lines = [f"{name} = '{value}'\n" for name, value in settings.items()]
    lines += ["archive_mode = off\n", f"unix_socket_directories = '{place}'\n"]
    with (data_dir / "postgresql.auto.conf").open("a") as file:
        file.writelines(lines)
    signal = data_dir / "recovery.signal"
    signal.touch(mode=0o600)
    if account := account_for_postgres():
        shutil.chown(signal, account)
    server = EmbeddedCluster(place, shelf.tools, shelf.processes)
    server.socket_dir = place
    begun = time.monotonic()
    try:
        server.start()
        until(lambda: _is_open(server), START_S, "the restored server read-write")
        yield server, time.monotonic() - begun
    finally:
        server.destroy()


def digests(server: EmbeddedCluster, dbname: str) -> list[Any]:
    """Rows and content of the tables that are compared."""
    with psycopg.connect(**server.target(dbname).conninfo(), autocommit=True) as connection:
        questions = (DIGEST.format(table=table) for table in TABLES)
        return [connection.execute(question.encode()).fetchone() for question in questions]


def _is_open(server: EmbeddedCluster) -> bool:
    try:
        with psycopg.connect(**server.target().conninfo(), autocommit=True) as connection:
            row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
    except psycopg.OperationalError:
        return False
    return row is not None and not row[0]
