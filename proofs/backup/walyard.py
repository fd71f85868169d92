"""Owns a yard for proofs of WAL: servers of our own, a receiver as in production, a restore.

What is true of them is for the proofs to say.
"""

import contextlib
import logging
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import structlog

from proofs.program import Program
from proofs.rig import toml
from proofs.table import CouldNotRun
from proofs.waiting import until
from shippyard.backup.engines.pg_basebackup import BaseEngine
from shippyard.backup.manifest import Manifest, Verification
from shippyard.backup.restore.feeder import WalFeeder
from shippyard.backup.restore.physical import BaseFiles, WalSource, lay_out, recovery_settings
from shippyard.backup.restore.plan import plan_recovery
from shippyard.backup.restore.point import LATEST
from shippyard.backup.seal import Seal, seal_of
from shippyard.backup.verify import measured
from shippyard.backup.wal.archive import WalArchive
from shippyard.backup.wal.names import is_segment
from shippyard.backup.wal.status import read_status
from shippyard.config.loading import load_config
from shippyard.config.models import Config
from shippyard.host.accounts import account_for_postgres
from shippyard.host.clock import SystemClock
from shippyard.host.process import Processes
from shippyard.postgres.embedded import EmbeddedCluster, readable_tools
from shippyard.postgres.tools import Tools, ToolsMissing, server_tools

MAIN = "@main"
READY_S = 30.0
# A server as it runs in production: what it said to have committed is on disk.
DURABLE = {"fsync": "on", "max_slot_wal_keep_size": "8GB"}


@dataclass
class WalYard:
    """One folder with a server, its archive and its configuration."""

    folder: Path
    processes: Processes
    tools: Tools
    wal: dict[str, Any] = field(default_factory=lambda: {"wal": "stream"})

    def __post_init__(self) -> None:
        self.backups = self.folder / "backups"
        self.archive = WalArchive(self.backups, MAIN)
        self.clock = SystemClock()

    def configure(self, cluster: EmbeddedCluster) -> Config:
        """Write the configuration of a receiver of this server, and read it."""
        role = {"user": "postgres"}
        document = {
            "environment": "testing",
            "daemon": {"state_dir": str(self.folder / "state")},
            "log": {"format": "json"},
            "databases": [
                {
                    "name": "shop",
                    "dbname": "postgres",
                    "host": str(cluster.socket_dir),
                    "monitor": role,
                    "backup": role,
                }
            ],
            "backup": {
                "dir": str(self.backups),
                "clusters": {"main": {"replication": role, **self.wal}},
            },
        }
        self.config_path.write_text(toml(document))
        return load_config(self.config_path, {})

    @property
    def config_path(self) -> Path:
        """The configuration file."""
        return self.folder / "shippyard.toml"

    @property
    def seal(self) -> Seal:
        """Who signs manifests here."""
        return seal_of(load_config(self.config_path, {}))

    @contextlib.contextmanager
    def server(self, name: str, settings: Mapping[str, str] = DURABLE) -> Iterator[EmbeddedCluster]:
        """A running server, gone at the end."""
        cluster = EmbeddedCluster(self.folder / name, self.tools, self.processes, settings)
        try:
            cluster.create()
            cluster.start()
            yield cluster
        finally:
            cluster.destroy()

    @contextlib.contextmanager
    def standby_of(self, primary: EmbeddedCluster, name: str) -> Iterator[EmbeddedCluster]:
        """A server that will follow, copied while the primary was stopped; not started."""
        cluster = EmbeddedCluster(self.folder / name, self.tools, self.processes)
        account = account_for_postgres()
        try:
            primary.stop()
            cluster.socket_dir.mkdir(parents=True)
            shutil.copytree(primary.data_dir, cluster.data_dir)
            primary.start()
            settings = {
                "unix_socket_directories": str(cluster.socket_dir),
                "primary_conninfo": f"host={primary.socket_dir} user=postgres",
            }
            append(cluster.data_dir, settings)
            (cluster.data_dir / "standby.signal").touch()
            for path in (self.folder / name, *(self.folder / name).rglob("*")):
                if account:
                    shutil.chown(path, account)
            yield cluster
        finally:
            cluster.destroy()

    @contextlib.contextmanager
    def receiver(self, cluster: EmbeddedCluster) -> Iterator[Program]:
        """`shippyard wal receive` as a program of its own, once it streams."""
        self.configure(cluster)
        argv = [sys.executable, "-m", "shippyard", "wal", "receive", "main", "--create-slot"]
        program = Program([*argv, "--config", str(self.config_path)], self.folder, "receiver")
        try:
            until(self.is_streaming, READY_S, f"the receiver streams ({program.said()[-300:]})")
            yield program
        finally:
            program.end()

    def is_streaming(self) -> bool:
        """Whether the receiver says so, and has begun a segment."""
        status = read_status(self.archive.folder)
        begun = self.archive.receiving.is_dir() and any(self.archive.receiving.glob("*.partial"))
        return status is not None and status.state == "streaming" and begun

    def whole(self) -> list[str]:
        """Names of the segments that are kept."""
        return sorted(name for name in self.archive.kept().entries if is_segment(name))

    def fill(self, cluster: EmbeddedCluster, segments: int) -> None:
        """Write so many segments of real WAL, and wait until they are kept."""
        before = len(self.whole())
        with connected(cluster) as connection:
            for _ in range(segments):
                connection.execute("SELECT pg_logical_emit_message(true, 'x', repeat('y', 200000))")
                connection.execute("SELECT pg_switch_wal()")
        what = f"{segments} segments kept"
        until(lambda: len(self.whole()) >= before + segments, READY_S + segments, what)

    def base(self, cluster: EmbeddedCluster, config: Config) -> tuple[Path, Manifest]:
        """Take a base backup, verify and seal it."""
        started = datetime.now(UTC)
        folder = self.backups / MAIN / f"{started:%Y%m%dT%H%M%SZ}-base-0a0b0c"
        folder.mkdir(parents=True, mode=0o700)
        settings = config.backup.clusters["main"]
        engine = BaseEngine(cluster.target(), settings, config, self.processes, self.clock)
        product = engine.make(folder, engine.preflight(), lambda _: None)
        files = measured(folder)
        method, problems = engine.verify(folder, files)
        assert not problems, problems
        finished = datetime.now(UTC)
        manifest = Manifest(
            id=folder.name,
            database=MAIN,
            kind="base",
            reason="manual",
            held_by=None,
            started_at=started,
            finished_at=finished,
            duration_s=(finished - started).total_seconds(),
            source=product.source,
            made=product.made,
            files=files,
            verification=Verification(method, finished, 0.0),
            wal_first=product.wal_first,
            environment=product.environment,
        )
        self.seal.write(folder, manifest)
        return folder, manifest

    @contextlib.contextmanager
    def restored(self, base: tuple[Path, Manifest], source: WalSource) -> Iterator[EmbeddedCluster]:
        """A server brought back to the latest moment, as a restore does it; gone at the end."""
        place = self.folder / "restored"
        place.mkdir(mode=0o755)
        account = account_for_postgres()
        plan = plan_recovery(base[1], source, LATEST)
        laid = lay_out(
            BaseFiles((base[0],), (base[1],)),
            place / "data",
            place / "tablespaces",
            processes=self.processes,
            tools=self.tools,
            account=account,
            jobs=2,
            on_size=lambda _: None,
            durable=False,
        )
        cluster = EmbeddedCluster(place, self.tools, self.processes)
        cluster.socket_dir = place
        settings = {
            **recovery_settings(plan.point, place / "spool"),
            "unix_socket_directories": str(place),
            "archive_mode": "off",
        }
        append(laid.data_dir, settings)
        (laid.data_dir / "recovery.signal").touch()
        for path in (place, laid.data_dir / "recovery.signal"):
            if account:
                shutil.chown(path, account)
        try:
            with WalFeeder(source, place / "spool", plan, laid, account=account) as feeder:
                cluster.start()
                until(lambda: is_writable(cluster), READY_S, f"promoted ({feeder.refused})")
                feeder.check()
            yield cluster
        finally:
            cluster.destroy()


@contextlib.contextmanager
def walyard(folder: Path, **wal: Any) -> Iterator[WalYard]:
    """A yard; everything that it started is ended with it."""
    # What is found is the row's to say.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    processes = Processes()
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    try:
        tools = server_tools(processes)
        if account := account_for_postgres():
            tools = readable_tools(tools, folder, account)
        yield WalYard(folder, processes, tools, {"wal": "stream", **wal})
    except ToolsMissing as error:
        raise CouldNotRun(str(error)) from None
    finally:
        processes.end_all()


def connected(cluster: EmbeddedCluster) -> "psycopg.Connection[Any]":
    """A session that commits each statement."""
    return psycopg.connect(**cluster.target().conninfo(), autocommit=True)


def kill(cluster: EmbeddedCluster) -> None:
    """`kill -9` to every process of the server, as a power cut does; its files go at once."""
    cluster.signal_all(signal.SIGKILL)
    shutil.rmtree(cluster.data_dir)


def is_writable(cluster: EmbeddedCluster) -> bool:
    """Whether a server has promoted."""
    with connected(cluster) as connection:
        row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
    return row == (False,)


def append(data_dir: Path, settings: Mapping[str, str]) -> None:
    """Put settings behind all others."""
    with (data_dir / "postgresql.auto.conf").open("a") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
