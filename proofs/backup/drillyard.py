"""Owns a yard for proofs of drills: a production of our own, its backups, its WAL, and the drills.

The parts are the daemon's own, joined by hand and without a daemon. What is true of them is for
the proofs to say.
"""

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from proofs.rig import scratch_cluster
from proofs.waiting import until
from shippyard.backup.drill.canary import Canary
from shippyard.backup.drill.model import Drill
from shippyard.backup.drill.service import Drills
from shippyard.backup.layout import Layout
from shippyard.backup.model import Backup, Kind
from shippyard.backup.seal import seal_of
from shippyard.backup.service import BackupService
from shippyard.backup.wal.archive import WalArchive
from shippyard.config.models import Config
from shippyard.host.clock import SystemClock
from shippyard.host.process import Processes
from shippyard.postgres.embedded import EmbeddedCluster
from shippyard.postgres.tools import Tools, server_tools
from shippyard.sandbox.local import LocalHost
from shippyard.state.database import State, open_state
from shippyard.telemetry.condition import Condition
from shippyard.telemetry.metrics import Metrics

SHOP, CLUSTER = "shop", "@main"
RECEIVED_S = 20.0
BOTH: tuple[Kind, Kind] = ("base", "dump")
GOODS = (
    "CREATE TABLE goods AS SELECT n AS id, md5(n::text) AS name, n % 97 AS shelf"
    " FROM generate_series(1, 20000) n"
)
FILL = (
    GOODS,
    "ALTER TABLE goods ADD PRIMARY KEY (id)",
    "CREATE INDEX ON goods (shelf)",
    "CREATE TABLE alembic_version (version_num text PRIMARY KEY)",
    "INSERT INTO alembic_version VALUES ('0007')",
    "CREATE ROLE seller LOGIN",
    "GRANT SELECT, INSERT ON goods TO seller",
    "CREATE EXTENSION pg_trgm",
)


@dataclass
class Yard:
    """Production, and what guards it."""

    folder: Path
    production: EmbeddedCluster
    processes: Processes
    config: Config
    state: State
    tools: Tools
    metrics: Metrics = field(default_factory=Metrics)
    clock: SystemClock = field(default_factory=SystemClock)
    told: list[Condition] = field(default_factory=list)

    def __post_init__(self) -> None:
        target = self.production.target(SHOP)
        self.service = BackupService(
            self.config,
            {SHOP: target},
            processes=self.processes,
            state=self.state,
            metrics=self.metrics,
            clock=self.clock,
            tell=self.told.append,
        )
        self.seal, self.layout = seal_of(self.config), Layout(self.config.backup.dir)
        self.wal = WalArchive(self.config.backup.dir, CLUSTER)
        self.host = LocalHost(
            self.config.backup.sandbox, self.processes, self.clock, self.folder / "sandboxes"
        )
        self.canary = Canary(CLUSTER, target, self.clock)
        self.drills = self.build_drills()

    def build_drills(self, **instead: Any) -> Drills:
        """The drills, with some parts replaced."""
        parts: dict[str, Any] = {
            "processes": self.processes,
            "state": self.state,
            "metrics": self.metrics,
            "clock": self.clock,
            "tell": self.told.append,
            "backups": self.service,
            "host": self.host,
            "wal_of": lambda _: self.wal if self.wal.folder.is_dir() else None,
            "targets": {SHOP: self.production.target(SHOP)},
        }
        return Drills(self.config, **{**parts, **instead})

    def run(self, *statements: str, dbname: str = SHOP) -> list[tuple[Any, ...]]:
        """Statements on production, each by itself; the rows of the last one."""
        return asked(self.production.target(dbname).conninfo(), *statements)

    def back_up(self, kind: Kind) -> Backup:
        """One backup, published."""
        return self.service.run(CLUSTER if kind == "base" else SHOP, kind, "manual")

    def drill(self, kind: Kind, **how: Any) -> Drill:
        """One drill of the newest backup of a kind."""
        return self.drills.run(CLUSTER if kind == "base" else SHOP, kind, **how)

    def files(self, backup: Backup) -> Path:
        """A published backup's folder."""
        return self.service.path(backup)

    def wait_received(self) -> None:
        """Until all WAL that production has written now is in the archive."""
        self.run("SELECT pg_create_restore_point('received')")
        wanted = str(self.run("SELECT pg_current_wal_flush_lsn()")[0][0])
        question = (
            "SELECT 1 FROM pg_stat_replication WHERE application_name = 'pg_receivewal'"
            f" AND flush_lsn >= '{wanted}'"
        )
        until(lambda: self.run(question), RECEIVED_S, f"WAL received up to {wanted}")

    @contextlib.contextmanager
    def receiving(self) -> Iterator[None]:
        """WAL streamed into the archive for the length of a block."""
        self.wal.prepare()
        slot = "SELECT pg_create_physical_replication_slot('shippyard', true)"
        self.run(f"{slot} WHERE NOT EXISTS (SELECT FROM pg_replication_slots)")
        target = self.production.target(SHOP)
        argv = [
            self.tools.path("pg_receivewal"),
            f"--directory={self.wal.receiving}",
            "--slot=shippyard",
            "--synchronous",
            *target.arguments()[:3],
        ]
        with self.processes.start(argv, env=target.environment()):
            yield


@contextlib.contextmanager
def yard(
    folder: Path, *, production: Mapping[str, str] | None = None, **backup: Any
) -> Iterator[Yard]:
    """A running production with the database `shop`, and no backup yet."""
    processes, tools = Processes(), server_tools(Processes())
    with contextlib.ExitStack() as undo:
        undo.callback(processes.end_all)
        cluster = undo.enter_context(scratch_cluster(folder / "postgres", processes))
        for name, value in (production or {}).items():
            with psycopg.connect(**cluster.target().conninfo(), autocommit=True) as connection:
                connection.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
        if production:
            cluster.stop()
            cluster.start()
        asked(cluster.target().conninfo(), f"CREATE DATABASE {SHOP}")
        undo.callback(shutil.rmtree, folder / "backups", ignore_errors=True)
        state = undo.enter_context(open_state(folder / "state"))
        config = configuration(folder, cluster, backup)
        made = Yard(folder, cluster, processes, config, state, tools)
        undo.callback(made.canary.stop)
        yield made


def configuration(folder: Path, cluster: EmbeddedCluster, backup: Mapping[str, Any]) -> Config:
    """Backups of one database and its cluster, nothing scheduled."""
    login = {"user": "postgres"}
    host = str(cluster.socket_dir)
    shop = {"name": SHOP, "host": host, "dbname": SHOP, "monitor": login, "backup": login}
    schedules = {f"{kind}_schedule": "" for kind in ("dump", "schema", "base", "prune")}
    main = {"wal": "stream", "replication": login, "canary": login}
    return Config.model_validate(
        {
            "environment": "testing",
            "daemon": {"state_dir": folder / "state"},
            "databases": [shop],
            "backup": {
                "dir": folder / "backups",
                "clusters": {"main": main},
                "sandbox": {"start_timeout_s": 120},
                **schedules,
                **backup,
            },
        }
    )


def asked(conninfo: Mapping[str, Any], *statements: str) -> list[tuple[Any, ...]]:
    """Statements on a server, each by itself; the rows of the last one."""
    with psycopg.connect(**conninfo, autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []
