"""Owns one sandbox on this machine: its folders, what is done before a start, and the start.

The folder is made and removed by the host; what is restored into it, and why, is not known here.
"""

import contextlib
import os
import pwd
from collections.abc import Callable, Mapping
from pathlib import Path

from shippyard.config.models import Sandbox as SandboxSettings
from shippyard.host.clock import Clock
from shippyard.host.process import Completed, Processes, ProcessesStopped, ProcessTimedOut
from shippyard.postgres.target import Target
from shippyard.postgres.tools import Tools
from shippyard.sandbox import jail, record
from shippyard.sandbox.budget import Budget, size_of
from shippyard.sandbox.confine import confine, give
from shippyard.sandbox.links import mapped_out
from shippyard.sandbox.model import Recovery, SandboxFailed, SandboxUnsafe, Started
from shippyard.sandbox.server import Server
from shippyard.sandbox.settings import Given, control_settings, told

SUPERUSER = "postgres"
PORT = 5432
TOOL_TIMEOUT_S = 60.0


class LocalSandbox:
    """One scratch cluster on this machine."""

    def __init__(
        self,
        folder: Path,
        socket_dir: Path,
        tools: Tools,
        settings: SandboxSettings,
        *,
        processes: Processes,
        clock: Clock,
        account: str | None,
    ) -> None:
        self._folder = folder
        self._socket_dir = socket_dir
        self._tools = tools
        self._settings = settings
        self._processes = processes
        self._clock = clock
        self._account = account
        self._more_differs: tuple[str, ...] = ()
        self._server = Server(self.data_dir, folder / "server.log", processes, clock)
        self._budget = Budget(folder, settings.disk_budget_bytes, clock, self._server.kill)

    @property
    def data_dir(self) -> Path:
        """Where a base backup is restored to, or an empty cluster is made."""
        return self._folder / "data"

    @property
    def tablespace_dir(self) -> Path:
        """Where every tablespace is remapped to: a folder each, by its oid."""
        return self._folder / "tablespaces"

    @property
    def spool_dir(self) -> Path:
        """Where WAL is put for recovery to take."""
        return self._folder / "spool"

    @property
    def account(self) -> str | None:
        """The account that must own what is restored; None when that is ours."""
        return self._account

    @property
    def tools(self) -> Tools:
        """The programs it runs."""
        return self._tools

    @property
    def over_budget(self) -> str | None:
        """Why it was ended for taking too much; None while it did not."""
        return self._budget.over

    def prepare(self) -> None:
        """Make its folders and begin to watch what it takes."""
        for folder in (self.data_dir, self.tablespace_dir, self.spool_dir):
            folder.mkdir(mode=0o700)
        self._give()
        self._budget.start()

    def create_empty(self, *, encoding: str | None = None, collation: str | None = None) -> None:
        """Make an empty cluster in `data_dir`, for a dump to be restored into.

        Raises:
            SandboxFailed: initdb refused.
        """
        done = self._initdb(encoding or "UTF8", collation or "C.UTF-8")
        if done.returncode and collation:
            said = f"collation {collation} is not on this machine; C.UTF-8 stands for it"
            self._more_differs += (said,)
            done = self._initdb(encoding or "UTF8", "C.UTF-8")
        if done.returncode:
            raise SandboxFailed(f"no empty cluster could be made: {done.reason()}")

    def start(
        self,
        *,
        recovery: Recovery | None = None,
        settings: Mapping[str, str] | None = None,
        on_tick: Callable[[], None] | None = None,
    ) -> Started:
        """Confine what is in `data_dir`, start it, wait until it answers (and has promoted).

        The calling thread must outlive the sandbox: with it the kernel ends the server.

        Raises:
            SandboxUnsafe: a link leaves the folder, before or while WAL is replayed.
            SandboxFailed: it did not come up.
        """
        begun = self._clock.monotonic()
        with contextlib.ExitStack() as undo:
            undo.callback(self._server.stop, keep_files=False)
            try:
                differs = self._confine(recovery or Recovery(), settings or {})
                replayed = self._run_server(on_tick)
            except SandboxFailed as error:
                raise self._better(error) from None
            except (OSError, ProcessesStopped) as error:
                raise SandboxFailed(f"the sandbox was not started: {error}") from None
            undo.pop_all()
        return Started(
            self._clock.monotonic() - begun,
            differs + self._more_differs,
            replayed - begun if replayed else None,
            self._server.last_transaction_at(),
        )

    def target(self, dbname: str, user: str = SUPERUSER) -> Target:
        """How to reach a database in it."""
        return Target(str(self._socket_dir), PORT, dbname, user, sslmode="disable")

    def stop(self) -> None:
        """Stop it, keep the files; safe twice."""
        self._server.stop(keep_files=True)

    def close(self) -> None:
        """End it at once, for its files go; safe twice."""
        self._budget.stop()
        self._server.stop(keep_files=False)

    def used_bytes(self) -> int:
        """Disk that it takes now."""
        return size_of(self._folder)

    def _confine(self, recovery: Recovery, production: Mapping[str, str]) -> tuple[str, ...]:
        self._refuse_over_budget()
        given = Given(
            major=self._tools.major,
            socket_dir=self._socket_dir,
            shared_buffers=self._settings.shared_buffers,
            libraries=self._libraries(),
            production=production,
            control=control_settings(self._run("pg_controldata", str(self.data_dir)).stdout),
            recovery=recovery.settings,
        )
        try:
            conf = told(given)
        except ValueError as error:
            raise SandboxUnsafe(str(error)) from None
        confine(self._folder, self.data_dir, conf.text, recovers=bool(recovery.settings))
        self._give()
        return (*conf.differs, *jail.lacking())

    def _run_server(self, on_tick: Callable[[], None] | None) -> float | None:
        pid = self._server.start(self._argv())
        started = record.started_at(pid)
        record.write(self._folder, record.Record(str(self._socket_dir), pid, started))
        return self._server.wait_ready(self._settings.start_timeout_s, lambda: self._tick(on_tick))

    def _argv(self) -> list[str]:
        writable = [self.data_dir, self.tablespace_dir, self.spool_dir, self._socket_dir]
        shut_in = jail.argv_of(writable, user=self._account, nice=self._settings.nice)
        return [*shut_in, self._tools.path("postgres"), "-D", str(self.data_dir)]

    def _refuse_over_budget(self) -> None:
        if self._budget.over:
            raise SandboxFailed(f"the sandbox was ended: {self._budget.over}")

    def _tick(self, on_tick: Callable[[], None] | None) -> None:
        self._refuse_over_budget()
        # Replayed WAL can make a tablespace where production has it. The jail keeps it from being
        # written; a restore that needs it can't go on.
        if ways := list(mapped_out(self._folder, self.data_dir)):
            raise SandboxUnsafe(_made_outside(ways[0]))
        if on_tick:
            on_tick()

    def _better(self, error: SandboxFailed) -> SandboxFailed:
        """What lies behind a server that did not come up."""
        if isinstance(error, SandboxUnsafe):
            return error
        if self._budget.over:
            return SandboxFailed(f"the sandbox was ended: {self._budget.over}")
        ways = self._ways_out_now()
        return SandboxUnsafe(_made_outside(ways[0])) if ways else error

    def _ways_out_now(self) -> list[str]:
        with contextlib.suppress(OSError):
            return list(mapped_out(self._folder, self.data_dir))
        return []

    def _libraries(self) -> list[str]:
        """Libraries that may be loaded, where these programs have them."""
        where = Path(self._run("pg_config", "--pkglibdir").stdout.strip() or "/nonexistent")
        allowed = self._settings.preload_libraries
        return [name for name in allowed if (where / f"{name}.so").is_file()]

    def _initdb(self, encoding: str, collation: str) -> Completed:
        return self._run(
            "initdb",
            f"--pgdata={self.data_dir}",
            f"--username={SUPERUSER}",
            "--auth=trust",
            f"--encoding={encoding}",
            f"--locale={collation}",
            "--no-sync",
        )

    def _run(self, program: str, *arguments: str) -> Completed:
        try:
            return self._processes.run(
                [self._tools.path(program), *arguments],
                timeout_s=TOOL_TIMEOUT_S,
                cwd=Path("/"),
                user=self._account,
            )
        except (OSError, ProcessesStopped, ProcessTimedOut) as error:
            raise SandboxFailed(f"{program} could not be run: {error}") from None

    def _give(self) -> None:
        for folder in (self.data_dir, self.tablespace_dir, self.spool_dir):
            if self._account:
                os.chown(folder, pwd.getpwnam(self._account).pw_uid, -1)
                give(folder, self._account)


def _made_outside(way: str) -> str:
    return (
        f"{way}, outside the sandbox: the WAL makes a tablespace there; "
        "take a base backup after it, then it is remapped"
    )
