"""Owns a cluster of our own: made, started, stopped and thrown away by us, on a unix socket only.

For the demo and the tests. Running as root it drops to an unprivileged account, and copies the
binaries where that account can read them.
"""

import contextlib
import os
import pwd
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from shippyard.host.accounts import account_for_postgres
from shippyard.host.process import Completed, Processes
from shippyard.postgres.target import Target
from shippyard.postgres.tools import Tools

INIT_TIMEOUT_S = 60.0
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0
SUPERUSER = "postgres"

# A scratch cluster: durability is not what it is for, but nothing else differs from the default.
SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "max_connections": "60",
    "shared_buffers": "64MB",
    "log_min_messages": "warning",
    "timezone": "UTC",
}


class EmbeddedFailed(Exception):
    """The cluster could not be made, started or stopped; the message has PostgreSQL's own words."""


class EmbeddedCluster:
    """One scratch cluster in `folder`, with socket `folder/socket` and port 5432."""

    def __init__(
        self,
        folder: Path,
        tools: Tools,
        processes: Processes,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._folder = folder
        self._processes = processes
        self._settings = {**SETTINGS, **(settings or {})}
        self._account = account_for_postgres()
        self._tools = tools
        self.socket_dir = folder / "socket"
        self.data_dir = folder / "data"

    def create(self) -> None:
        """Make the data folder; everyone who reaches the socket is trusted.

        Raises:
            EmbeddedFailed: initdb refused.
        """
        self.socket_dir.mkdir(parents=True, mode=0o755)
        if self._account:
            shutil.chown(self._folder, self._account)
            shutil.chown(self.socket_dir, self._account)
            self._tools = readable_tools(self._tools, self._folder, self._account)
        self._must(
            self._run(
                "initdb",
                f"--pgdata={self.data_dir}",
                f"--username={SUPERUSER}",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--data-checksums",
                "--no-sync",
                timeout_s=INIT_TIMEOUT_S,
            )
        )
        settings = {**self._settings, "unix_socket_directories": str(self.socket_dir)}
        lines = "".join(f"{name} = '{value}'\n" for name, value in settings.items())
        with (self.data_dir / "postgresql.conf").open("a") as file:
            file.write(lines)

    def start(self) -> None:
        """Start the server and wait until it answers.

        Raises:
            EmbeddedFailed: it did not come up; the end of its log is in the message.
        """
        done = self._run(
            "pg_ctl",
            "start",
            f"--pgdata={self.data_dir}",
            f"--log={self.log_file}",
            "--wait",
            f"--timeout={START_TIMEOUT_S:.0f}",
            timeout_s=START_TIMEOUT_S + 5,
        )
        if done.returncode:
            raise EmbeddedFailed(f"PostgreSQL did not start: {self._log_tail() or done.reason()}")

    def stop(self, mode: str = "fast") -> None:
        """Stop the server; a server that does not run is fine."""
        if self.postmaster_pid() is None:
            return
        self._run(
            "pg_ctl",
            "stop",
            f"--pgdata={self.data_dir}",
            f"--mode={mode}",
            "--wait",
            f"--timeout={STOP_TIMEOUT_S:.0f}",
            timeout_s=STOP_TIMEOUT_S + 5,
        )

    def signal_all(self, number: int) -> None:
        """Send a signal to every process of the cluster: SIGSTOP makes an outage."""
        pid = self.postmaster_pid()
        if pid is not None:
            for each in [pid, *_children_of(pid)]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each, number)

    def destroy(self) -> None:
        """Stop at once and remove every file."""
        with contextlib.suppress(Exception):
            self.signal_all(signal.SIGCONT)
            self.stop("immediate")
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def log_file(self) -> Path:
        """The server's own log."""
        return self._folder / "postgresql.log"

    def target(self, dbname: str = "postgres", user: str = SUPERUSER) -> Target:
        """How to reach a database of this cluster."""
        return Target(str(self.socket_dir), 5432, dbname, user)

    def postmaster_pid(self) -> int | None:
        """The server's process id, or None when it does not run."""
        try:
            pid = int((self.data_dir / "postmaster.pid").read_text().split("\n", 1)[0])
            os.kill(pid, 0)
        except (OSError, ValueError):
            return None
        return pid

    def _run(self, program: str, *arguments: str, timeout_s: float) -> Completed:
        return self._processes.run(
            [self._tools.path(program), *arguments],
            timeout_s=timeout_s,
            cwd=self._folder,
            user=self._account,
            env={"HOME": str(self._folder)},
        )

    def _must(self, done: Completed) -> None:
        if done.returncode:
            raise EmbeddedFailed(done.reason())

    def _log_tail(self) -> str:
        with contextlib.suppress(OSError):
            return " ".join(self.log_file.read_text(errors="replace").splitlines()[-3:])
        return ""


@contextlib.contextmanager
def embedded_cluster(
    tools: Tools,
    processes: Processes,
    settings: Mapping[str, str] | None = None,
    within: Path | None = None,
) -> Iterator[EmbeddedCluster]:
    """A running scratch cluster for the length of a block, in the temporary folder or `within`."""
    folder = Path(tempfile.mkdtemp(prefix="shippyard-pg-", dir=within))
    folder.chmod(0o755)
    cluster = EmbeddedCluster(folder, tools, processes, settings)
    try:
        cluster.create()
        cluster.start()
        yield cluster
    finally:
        cluster.destroy()


def readable_tools(tools: Tools, folder: Path, account: str) -> Tools:
    """The same tools where `account` can run them: a tree under a closed home is copied."""
    if _others_may_read(tools.bin_dir):
        return tools
    copy = folder / "postgresql"
    shutil.copytree(tools.bin_dir.parent, copy, symlinks=True)
    for path in [copy, *copy.rglob("*")]:
        os.chown(path, pwd.getpwnam(account).pw_uid, -1, follow_symlinks=False)
    return Tools(copy / "bin", tools.major)


def _others_may_read(folder: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in [folder, *folder.parents])


def _children_of(pid: int) -> list[int]:
    """Direct children by /proc, which is all a postmaster has."""
    with contextlib.suppress(OSError):
        listing = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(child) for child in listing.split()]
    return []
