"""Owns the demo's machinery: a scratch cluster, the real daemon on it, a pager, and their end.

Everything lives in one folder and is gone when the stage is struck.
"""

import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from shippyard.config.loading import load_config
from shippyard.control.client import Client, DaemonUnreachable
from shippyard.host.process import Child, Processes
from shippyard.postgres.embedded import SUPERUSER, EmbeddedCluster
from shippyard.postgres.target import Target
from shippyard.postgres.tools import Tools, server_tools
from shippyard.setup.bootstrap.applying import apply
from shippyard.setup.receiver import Receiver

DATABASE = "shippyar"
DBNAME = "shippyar_dev"
MIGRATOR = "shippyar_migrator"
SIGNAL = "shippyard_signal"
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
HERE = Path(__file__).parent


class StageFailed(Exception):
    """A part of the stage did not come up; the message says which and why."""


class Stage:
    """The parts, set up one by one by the tour."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="shippyard-demo-"))
        # The unprivileged account PostgreSQL runs as must be able to pass through.
        self.folder.chmod(0o755)
        self.receiver = Receiver()
        self._processes = Processes()
        self._undo = contextlib.ExitStack()
        self._daemon: Child | None = None
        self._cluster: EmbeddedCluster | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.strike()

    @property
    def socket(self) -> Path:
        """The daemon's control socket."""
        return self.folder / "control.sock"

    @property
    def client(self) -> Client:
        """How to ask the daemon."""
        return Client(self.socket)

    @property
    def _config(self) -> Path:
        return self.folder / "shippyard.toml"

    def target(self, user: str = MIGRATOR) -> Target:
        """The demo's database, as one of its roles."""
        assert self._cluster is not None, "no cluster yet"
        return self._cluster.target(DBNAME, user)

    def raise_cluster(self) -> Tools:
        """Make and start a PostgreSQL of our own; gives the programs it runs on."""
        tools = server_tools(self._processes)
        self._cluster = EmbeddedCluster(self.folder / "postgres", tools, self._processes)
        self._undo.callback(self._cluster.destroy)
        self._cluster.create()
        self._cluster.start()
        return tools

    def make_roles(self, migrations: Path) -> int:
        """The databases, roles and rights of the configuration; gives how many statements it took.

        Raises:
            BootstrapRefused: the server refused one.
        """
        self._config.write_text(self._filled(migrations))
        done = apply(load_config(self._config, environ={}), SUPERUSER)
        return sum(len(plan.steps) for plan in done)

    def start_daemon(self) -> None:
        """Start `shippyard run` on the configuration; returns once it is ready.

        Raises:
            StageFailed: the daemon ended, or did not answer in time.
        """
        argv = [sys.executable, "-m", "shippyard", "run", "--config", str(self._config)]
        log = (self.folder / "daemon.log").open("w+b")
        self._daemon = self._undo.enter_context(self._processes.start(argv, stderr=log))
        self._undo.callback(self._stop_daemon)
        self._wait_until_ready(self._daemon)

    def strike(self) -> None:
        """End everything and remove the folder; safe to call twice."""
        self._undo.close()
        self.receiver.close()
        self._processes.end_all()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _filled(self, migrations: Path) -> str:
        assert self._cluster is not None
        words = {
            "folder": self.folder,
            "host": self._cluster.socket_dir,
            "url": self.receiver.url,
            "migrations": migrations,
        }
        text = (HERE / "demo.toml").read_text()
        for word, value in words.items():
            text = text.replace("{" + word + "}", str(value))
        return text

    def _wait_until_ready(self, daemon: Child) -> None:
        for _ in _tries(START_TIMEOUT_S):
            if not daemon.running:
                raise StageFailed(f"the daemon ended: {daemon.stderr_tail().strip()[-500:]}")
            with contextlib.suppress(DaemonUnreachable):
                if all(each["up"] for each in self.client.call("status", {})["databases"]):
                    return
        raise StageFailed(f"the daemon did not become ready within {START_TIMEOUT_S:g} s")

    def _stop_daemon(self) -> None:
        if self._daemon is not None:
            self._daemon.end(STOP_TIMEOUT_S)


def _tries(timeout_s: float, pause_s: float = 0.1) -> Iterator[None]:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        yield
        time.sleep(pause_s)
