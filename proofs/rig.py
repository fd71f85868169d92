"""Owns a stage for proofs: a scratch PostgreSQL, the real daemon on it, a pager, a watchdog.

The daemon is a process of its own, reached only the way operators and Prometheus reach it. What is
true of it is for the proofs to say. All of it is ended by pid when the block is left.
"""

import contextlib
import getpass
import http.client
import json
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from proofs.program import Program, Ran, last_line, shippyard
from proofs.table import ROOT, Context, CouldNotRun
from proofs.waiting import until
from proofs.witness import Pager, ServiceManager
from shippyard.control.client import Client
from shippyard.host.process import Processes
from shippyard.postgres.embedded import EmbeddedCluster
from shippyard.postgres.tools import ToolsMissing, server_tools
from shippyard.setup.schema import make_policy_roles

DATABASE = "shop"
READY_TIMEOUT_S = 30.0

Document = dict[str, Any]


@dataclass(frozen=True)
class Scrape:
    """One answer of the HTTP listener."""

    status: int
    body: str
    elapsed_ms: float

    def series(self, prefix: str, *parts: str) -> list[str]:
        """Lines of samples that begin with `prefix` and hold all `parts`."""
        lines = (line for line in self.body.splitlines() if line.startswith(prefix))
        return [line for line in lines if all(part in line for part in parts)]

    def value(self, prefix: str, *parts: str) -> float | None:
        """The value of the one series that fits; None when none does."""
        lines = self.series(prefix, *parts)
        return float(lines[0].rsplit(" ", 1)[1]) if lines else None


@dataclass
class Rig:
    """The parts. `document` is the configuration; change it before a start or `write`."""

    folder: Path
    cluster: EmbeddedCluster
    pager: Pager
    manager: ServiceManager
    document: Document
    env: dict[str, str] = field(default_factory=dict)
    daemon: Program | None = None

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.folder / "shippyard.toml"

    @property
    def socket(self) -> Path:
        """The daemon's control socket."""
        return self.folder / "control.sock"

    @property
    def backups(self) -> Path:
        """Where backups are published."""
        return self.folder / "backups"

    def write(self) -> None:
        """Write the configuration file."""
        self.config.write_text(toml(self.document))

    def start(self, *, wait_up: bool = True) -> Program:
        """Start the daemon; returns once it is ready and, if asked, its first database is up."""
        self.write()
        begun = time.monotonic()
        argv = [sys.executable, "-m", "shippyard", "run", "--config", str(self.config)]
        env = {"NOTIFY_SOCKET": str(self.manager.path), "WATCHDOG_USEC": "30000000", **self.env}
        daemon = self.daemon = Program(argv, self.folder, "daemon", env)
        until(
            lambda: self.manager.times_of("READY=1", begun) or not daemon.running,
            READY_TIMEOUT_S,
            "the daemon ready",
        )
        if not daemon.running:
            raise AssertionError(f"the daemon ended at once: {last_line(daemon.said())}")
        if wait_up:
            until(lambda: self.up() == 1, READY_TIMEOUT_S, f"{DATABASE} up")
        return daemon

    def kill(self) -> None:
        """End the daemon as a crash does."""
        assert self.daemon is not None
        self.daemon.send(signal.SIGKILL)
        self.daemon.wait(5)

    def stop(self) -> None:
        """End the daemon in order."""
        if self.daemon is not None:
            self.daemon.end()

    def call(self, method: str, params: Document | None = None) -> Document:
        """Ask the daemon on its socket."""
        return dict(Client(self.socket).call(method, params or {}))

    def ctl(self, *arguments: str, prefix: Sequence[str] = ()) -> Ran:
        """Ask the daemon as a person does; `prefix` is put before the command."""
        return shippyard("ctl", "--socket", str(self.socket), *arguments, prefix=prefix)

    def scrape(self, path: str = "/metrics") -> Scrape:
        """One GET on a connection of its own."""
        begun = time.monotonic()
        link = http.client.HTTPConnection("127.0.0.1", self.document["http"]["port"], timeout=10)
        try:
            link.request("GET", path)
            answer = link.getresponse()
            body = answer.read().decode()
        finally:
            link.close()
        return Scrape(answer.status, body, (time.monotonic() - begun) * 1000)

    def up(self, database: str = DATABASE) -> float | None:
        """What the metrics say of a database: 1 up, 0 down, None not known."""
        return self.scrape().value("shippyard_health_database_up", f'database="{database}"')

    def check_series(self, database: str = DATABASE) -> list[str]:
        """Series that come from the database itself, not from the daemon's own bookkeeping."""
        own = ("shippyard_health_check_", "shippyard_health_database_up")
        lines = self.scrape().series("shippyard_health_", f'database="{database}"')
        return [line for line in lines if not line.startswith(own)]

    def connect(self, name: str = "proof") -> psycopg.Connection[Any]:
        """A session on the guarded database, as an application has."""
        conninfo = self.cluster.target(DATABASE).conninfo()
        return psycopg.connect(
            **conninfo,
            autocommit=True,
            application_name=name,
        )


class Block:
    """Two sessions made by hand: one holds a row and idles, the other waits for it."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self.holder = rig.connect("holder")
        self._waiter = rig.connect("waiter")
        with rig.connect() as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS stock (id int PRIMARY KEY, n int)")
            connection.execute("INSERT INTO stock VALUES (1, 0) ON CONFLICT DO NOTHING")
        self.holder.execute("BEGIN")
        self.holder.execute("UPDATE stock SET n = n + 1 WHERE id = 1")
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self.begun = time.monotonic()
        self._thread.start()

    @property
    def holder_pid(self) -> int:
        """The session to blame."""
        return self.holder.info.backend_pid

    @property
    def waiter_pid(self) -> int:
        """The session that suffers."""
        return self._waiter.info.backend_pid

    def end(self) -> float:
        """Let the row go; gives when."""
        ended = time.monotonic()
        self.holder.execute("ROLLBACK")
        self._thread.join(10)
        self.close()
        return ended

    def end_by(self, command: str) -> float:
        """Do what the page says, as on-call does; gives when. The waiter must get through."""
        with self._rig.connect("on-call") as connection:
            ended = time.monotonic()
            connection.execute(command.encode())
        self._thread.join(10)
        assert not self._thread.is_alive(), f"the block was not ended by: {command}"
        return ended

    def close(self) -> None:
        """Let both sessions go."""
        self.holder.close()
        self._waiter.close()

    def _wait(self) -> None:
        with contextlib.suppress(psycopg.Error):
            self._waiter.execute("UPDATE stock SET n = n + 1 WHERE id = 1")


@contextlib.contextmanager
def rig(context: Context, settings: Mapping[str, str] | None = None) -> Iterator[Rig]:
    """A cluster that runs with the database `shop` in it, and a daemon ready to be started.

    `settings` are the server's, beside those that every scratch cluster has.
    """
    processes = Processes()
    with contextlib.ExitStack() as undo:
        undo.callback(processes.end_all)
        cluster = undo.enter_context(
            scratch_cluster(context.folder / "postgres", processes, settings)
        )
        with psycopg.connect(**cluster.target().conninfo(), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{DATABASE}"'.encode())
        make_policy_roles(cluster.target())
        pager = Pager()
        undo.callback(pager.close)
        manager = ServiceManager(context.folder / "notify.sock")
        undo.callback(manager.close)
        document = configuration(context.folder, cluster, pager)
        made = Rig(context.folder, cluster, pager, manager, document)
        undo.callback(made.stop)
        yield made


@contextlib.contextmanager
def scratch_cluster(
    folder: Path, processes: Processes, settings: Mapping[str, str] | None = None
) -> Iterator[EmbeddedCluster]:
    """A running cluster in `folder`, gone at the end."""
    try:
        cluster = EmbeddedCluster(folder, server_tools(processes), processes, settings)
    except ToolsMissing as error:
        raise CouldNotRun(str(error)) from None
    try:
        cluster.create()
        cluster.start()
        yield cluster
    finally:
        cluster.destroy()


def configuration(folder: Path, cluster: EmbeddedCluster, pager: Pager) -> Document:
    """The daemon's settings: its defaults, but for places, and nothing scheduled."""
    return {
        "environment": "testing",
        "daemon": {"state_dir": str(folder / "state")},
        "log": {"format": "json"},
        "http": {"port": free_port()},
        "control": {
            "socket": str(folder / "control.sock"),
            "operators": [getpass.getuser()],
            "allow_root": True,
        },
        "databases": [database(DATABASE, str(cluster.socket_dir))],
        "backup": {
            "dir": str(folder / "backups"),
            "dump_schedule": "",
            "schema_schedule": "",
            "prune_schedule": "",
        },
        "alerting": {"routes": [{"name": "oncall", "url": pager.url}]},
        "migration": {"alembic_ini": str(ROOT / "migrations" / "alembic.ini")},
    }


def database(name: str, host: str, *, port: int = 5432, **login: str) -> Document:
    """One guarded database, the same role for all that is done on it."""
    role = {"user": "postgres", **login}
    return {
        "name": name,
        "cluster": name,
        "host": host,
        "port": port,
        "dbname": DATABASE,
        "monitor": role,
        "backup": role,
        "migrator": role,
    }


def toml(document: Mapping[str, Any], *path: str) -> str:
    """Tables, arrays of tables and plain values; JSON's plain values are TOML's too."""
    plain, below = [], []
    for key, value in document.items():
        if isinstance(value, Mapping):
            below.append(f"\n[{'.'.join((*path, key))}]\n{toml(value, *path, key)}")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            head = f"\n[[{'.'.join((*path, key))}]]\n"
            below.extend(head + toml(each, *path, key) for each in value)
        else:
            plain.append(f"{key} = {json.dumps(value)}\n")
    return "".join([*plain, *below])


def free_port() -> int:
    """A port nobody listens on now; it stays the same over restarts of the daemon."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
