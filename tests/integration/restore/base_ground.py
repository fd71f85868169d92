"""A cluster whose WAL is archived to a folder, and what a test does with its base backups."""

import contextlib
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from shippyard.backup.engines.pg_basebackup import BaseEngine
from shippyard.backup.manifest import Manifest, Verification
from shippyard.backup.restore.feeder import Fed, WalFeeder
from shippyard.backup.restore.physical import (
    BaseFiles,
    LaidOut,
    WalSource,
    WalUnusable,
    lay_out,
    recovery_settings,
)
from shippyard.backup.restore.plan import plan_recovery
from shippyard.backup.restore.point import LATEST, Point
from shippyard.backup.verify import measured
from shippyard.config.models import ClusterBackup, Config
from shippyard.host.accounts import account_for_postgres
from shippyard.host.clock import SystemClock
from shippyard.host.process import Processes
from shippyard.postgres.embedded import EmbeddedCluster
from shippyard.postgres.target import Target
from shippyard.postgres.tools import Tools, installed_tools

CONFIG = Config.model_validate(
    {
        "environment": "testing",
        "daemon": {"state_dir": "/nonexistent"},
        "databases": [
            {
                "name": "d",
                "dbname": "postgres",
                "monitor": {"user": "postgres"},
                "backup": {"user": "postgres"},
            }
        ],
        "backup": {"dir": "/nonexistent"},
    }
)


class Archive(WalSource):
    """A folder of files as archive_command left them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.damaged: set[str] = set()

    def segments(self) -> list[str]:
        names = (path.name for path in self.folder.iterdir())
        return sorted(name for name in names if len(name) in (24, 16))

    def fetch(self, name: str, into: Path) -> bool:
        if name in self.damaged:
            raise WalUnusable(f"WAL segment {name} is damaged")
        try:
            shutil.copyfile(self.folder / name, into)
        except FileNotFoundError:
            return False
        return True


class NoWal(WalSource):
    """Nothing is kept beside the backup."""

    def segments(self) -> list[str]:
        return []

    def fetch(self, name: str, into: Path) -> bool:
        return False


@dataclass
class Restored:
    """A server that came up from a base backup."""

    cluster: EmbeddedCluster
    laid: LaidOut
    fed: Fed

    def execute(self, *statements: str) -> list[Any]:
        return execute(self.cluster, *statements)

    def rows(self) -> list[int]:
        """What the table `t` holds."""
        return [row[0] for row in self.execute("SELECT n FROM t ORDER BY n")]


@dataclass
class Ground:
    """One production cluster, an archive of its WAL, and a folder for everything else."""

    cluster: EmbeddedCluster
    tools: Tools
    processes: Processes
    folder: Path
    archive: Archive
    bases: list[tuple[Path, Manifest]] = field(default_factory=list)

    def execute(self, *statements: str) -> list[Any]:
        return execute(self.cluster, *statements)

    def switch(self) -> str:
        """End the current segment; gives its name once it is archived."""
        self.execute("SELECT pg_logical_emit_message(false, 'a', 'b')")
        name: str = self.execute("SELECT pg_walfile_name(pg_switch_wal())")[0][0]
        deadline = time.monotonic() + 20
        while not (self.archive.folder / name).exists():
            assert time.monotonic() < deadline, f"{name} was not archived"
            time.sleep(0.01)
        return name

    def segments(self, *numbers: int) -> list[str]:
        """Insert each number into `t`, each into a segment of its own; gives their names."""
        names = []
        for number in numbers:
            self.execute(f"INSERT INTO t VALUES ({number})")
            names.append(self.switch())
        return names

    def engine(self, target: Target | None = None, **options: Any) -> BaseEngine:
        return BaseEngine(
            target or self.cluster.target(),
            ClusterBackup(),
            options.pop("config", CONFIG),
            self.processes,
            SystemClock(),
            **options,
        )

    def base(self, parent: tuple[Path, Manifest] | None = None) -> tuple[Path, Manifest]:
        """Take a base backup and verify it, as a job does."""
        folder = self.folder / "bases" / uuid.uuid4().hex[:8]
        folder.mkdir(parents=True, mode=0o700)
        started, engine = datetime.now(UTC), self.engine(parent=parent)
        product = engine.make(folder, engine.preflight(), lambda _: None)
        made = datetime.now(UTC)
        files = measured(folder)
        method, problems = engine.verify(folder, files)
        assert not problems
        manifest = Manifest(
            id=folder.name,
            database="@main",
            kind="base",
            reason="manual",
            held_by=None,
            started_at=started,
            finished_at=made,
            duration_s=1.0,
            source=product.source,
            made=product.made,
            files=files,
            verification=Verification(method, made, 0.0),
            parent=product.parent,
            wal_first=product.wal_first,
            environment=product.environment,
        )
        self.bases.append((folder, manifest))
        return folder, manifest

    def place(self) -> Path:
        """A new folder that PostgreSQL's account may enter."""
        place = self.folder / uuid.uuid4().hex[:8]
        place.mkdir(mode=0o755)
        return place

    def lay_out(self, place: Path, *bases: tuple[Path, Manifest], **options: Any) -> LaidOut:
        """Restore the files into `data` of a folder."""
        files = BaseFiles(
            tuple(folder for folder, _ in bases), tuple(manifest for _, manifest in bases)
        )
        options = {"jobs": 2, "on_size": lambda _: None, "durable": False, **options}
        return lay_out(
            files,
            place / "data",
            options.pop("tablespaces", place / "tablespaces"),
            processes=self.processes,
            tools=self.tools,
            account=account_for_postgres(),
            **options,
        )

    @contextlib.contextmanager
    def restored(
        self,
        *bases: tuple[Path, Manifest],
        point: Point = LATEST,
        source: WalSource | None = None,
        accept_loss: bool = False,
        **options: Any,
    ) -> Iterator[Restored]:
        """A promoted server from these backups, gone at the end."""
        place = self.place()
        wal = source or self.archive
        plan = plan_recovery(bases[-1][1], wal, point, accept_loss=accept_loss)
        laid = self.lay_out(place, *bases, **options)
        cluster = EmbeddedCluster(place, self.tools, self.processes)
        settings = recovery_settings(plan.point, place / "spool")
        configure(laid.data_dir, {**settings, "unix_socket_directories": str(place)})
        cluster.socket_dir = place
        shutil.chown(place, account_for_postgres() or place.owner())
        try:
            with WalFeeder(
                wal, place / "spool", plan, laid, account=account_for_postgres()
            ) as feeder:
                try:
                    cluster.start()
                    promoted(cluster)
                except Exception as error:
                    said = cluster.log_file.read_text()
                    raise DidNotRecover(feeder.refused or said) from error
                fed = feeder.check()
            yield Restored(cluster, laid, fed)
        finally:
            cluster.destroy()


def execute(cluster: EmbeddedCluster, *statements: str) -> list[Any]:
    """Run statements one by one; gives the rows of the last."""
    with psycopg.connect(**cluster.target().conninfo(), autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


class DidNotRecover(Exception):
    """The server ended, or did not promote."""


def promoted(cluster: EmbeddedCluster) -> None:
    """Wait until a server takes writes."""
    deadline = time.monotonic() + 30
    with psycopg.connect(**cluster.target().conninfo(), autocommit=True) as connection:
        while (row := connection.execute("SELECT pg_is_in_recovery()").fetchone()) and row[0]:
            assert time.monotonic() < deadline, "did not promote"


def configure(data_dir: Path, settings: Mapping[str, str]) -> None:
    """Put settings behind all others, and ask for recovery."""
    lines = "".join(f"{name} = '{value}'\n" for name, value in settings.items())
    with (data_dir / "postgresql.auto.conf").open("a") as file:
        file.write(lines + "archive_mode = off\nmax_wal_size = 1GB\n")
    signal = data_dir / "recovery.signal"
    signal.touch(mode=0o600)
    if account := account_for_postgres():
        shutil.chown(signal, account)


def tools_of(processes: Processes, major: int) -> Tools:
    """Server programs of one major version."""
    found = [t for t in installed_tools(processes, program="initdb") if t.major == major]
    if not found:
        pytest.skip(f"no PostgreSQL {major} server here")
    return found[0]


@contextlib.contextmanager
def grounded(processes: Processes, major: int) -> Iterator[Ground]:
    """A running production cluster of one major version, in a folder that others may enter."""
    folder = Path(tempfile.mkdtemp(prefix="shippyard-base-"))
    folder.chmod(0o755)
    archive = folder / "archive"
    archive.mkdir(mode=0o777)
    archive.chmod(0o777)
    settings = {
        "archive_mode": "on",
        "archive_command": f"cp %p {archive}/.%f.part && mv {archive}/.%f.part {archive}/%f",
        "max_wal_size": "1GB",
        **({"summarize_wal": "on"} if major >= 17 else {}),
    }
    tools = tools_of(processes, major)
    (folder / "production").mkdir(mode=0o755)
    cluster = EmbeddedCluster(folder / "production", tools, processes, settings)
    try:
        cluster.create()
        cluster.start()
        ground = Ground(cluster, cluster._tools, processes, folder, Archive(archive))
        ground.execute("CREATE TABLE t (n bigint)")
        yield ground
    finally:
        cluster.destroy()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def two_tablespaces(ground: Ground) -> Iterator[list[Path]]:
    """`fast` and `slow`, with a table each; all gone at the end."""
    places = [ground.place() for _ in range(2)]
    for place in places:
        shutil.chown(place, account_for_postgres() or place.owner())
    ground.execute(
        f"CREATE TABLESPACE fast LOCATION '{places[0]}'",
        f"CREATE TABLESPACE slow LOCATION '{places[1]}'",
        "CREATE TABLE one TABLESPACE fast AS SELECT generate_series(1, 100) n",
        "CREATE TABLE two TABLESPACE slow AS SELECT generate_series(1, 200) n",
    )
    try:
        yield places
    finally:
        ground.execute("DROP TABLE one, two", "DROP TABLESPACE fast", "DROP TABLESPACE slow")


def links_below(folder: Path) -> list[Path]:
    """Every link in a folder and below."""
    return [path for path in folder.rglob("*") if path.is_symlink()]
