"""Owns recovering a restored cluster where it lies, shut in until a person takes it over.

Production's own settings are not followed meanwhile: nothing is archived, nobody can connect but
us, no subscription works. They are left as they are in the data folder, for when it is handed back.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from shippyard.backup.restore.archive import RestoreFailed, RestoreInterrupted
from shippyard.backup.restore.physical import LaidOut
from shippyard.backup.restore.unpack import owner_of
from shippyard.host.clock import Clock
from shippyard.host.process import Processes, ProcessesStopped, ProcessTimedOut
from shippyard.postgres.embedded import readable_tools
from shippyard.postgres.session import QueryFailed, Unreachable, session
from shippyard.postgres.target import Target
from shippyard.postgres.tools import Tools
from shippyard.postgres.writing import quoted_name, writing_session
from shippyard.sandbox import jail
from shippyard.sandbox.model import SandboxFailed
from shippyard.sandbox.server import Server
from shippyard.sandbox.settings import control_settings

PORT = 5432
TOOL_TIMEOUT_S = 60.0
CHECKPOINT_TIMEOUT_S = 1800.0
SIGNAL = "recovery.signal"
HBA = "local all all trust\n"

# On the command line, so that neither postgresql.conf nor postgresql.auto.conf has a say.
SHUT_IN = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "ssl": "off",
    "archive_mode": "off",
    "hot_standby": "off",
    # As in production: WAL written with less could not be recovered past from older backups.
    "wal_level": "replica",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    # No slots are kept, but replay notes how far a subscription was, and needs room for that.
    "max_replication_slots": "100",
    "shared_preload_libraries": "",
    "session_preload_libraries": "",
    "local_preload_libraries": "",
    "autovacuum": "off",
    "restart_after_crash": "off",
    "dynamic_shared_memory_type": "mmap",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "30min",
    "logging_collector": "off",
    "log_destination": "stderr",
    "log_line_prefix": "",
    "log_min_messages": "warning",
    "lc_messages": "C",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "data_sync_retry": "off",
}
SINCE = {17: {"event_triggers": "off"}}
"""Told from this major on: a login trigger would run what production wrote."""

_SUBSCRIPTIONS = (
    "SELECT s.subname AS name, d.datname AS dbname FROM pg_subscription s"
    " JOIN pg_database d ON d.oid = s.subdbid WHERE s.subenabled ORDER BY 1, 2"
)


@dataclass(frozen=True)
class Recovered:
    """A cluster that reads and writes, for the length of a block. `server_s` is how long it took.

    `last_at` is when the last transaction that was replayed had been committed.
    """

    target: Target
    last_at: datetime | None
    server_s: float


class Bench:
    """A folder beside the data folder for what recovery needs; gone afterwards."""

    def __init__(self, data_dir: Path, account: str | None) -> None:
        self.folder = data_dir.with_name(f".{data_dir.name}.restoring")
        self.spool = self.folder / "spool"
        self.log = self.folder / "server.log"
        self._account = account

    @contextmanager
    def made(self) -> Iterator[None]:
        """Make the folder; when the block fails it stays, for its log.

        Raises:
            OSError: it can't be made.
        """
        shutil.rmtree(self.folder, ignore_errors=True)
        for folder in (self.folder, self.spool):
            folder.mkdir(mode=0o700)
            self.give(folder)
        yield
        shutil.rmtree(self.folder, ignore_errors=True)

    def give(self, path: Path) -> None:
        """Make a path the account's."""
        owner = owner_of(self._account)
        os.chown(path, owner.uid, owner.gid)


@dataclass(frozen=True)
class Bringup:
    """What recovers one cluster."""

    laid: LaidOut
    bench: Bench
    tools: Tools
    account: str | None
    superuser: str
    processes: Processes
    clock: Clock
    timeout_s: float

    @contextmanager
    def recovered(
        self, settings: Mapping[str, str], on_tick: Callable[[], None]
    ) -> Iterator[Recovered]:
        """Start it, replay, promote; stopped cleanly when the block is left.

        Raises:
            RestoreInterrupted: somebody asked for an end.
            RestoreFailed: it did not come up; in PostgreSQL's own words.
        """
        began = self.clock.monotonic()
        server = Server(self.laid.data_dir, self.bench.log, self.processes, self.clock)
        with tempfile.TemporaryDirectory(prefix="shippyard-") as place:
            sockets = Path(place)
            self.bench.give(sockets)
            try:
                server.start(self._argv(sockets, settings))
                self._wait(server, on_tick)
                target = Target(place, PORT, "postgres", self.superuser, sslmode="disable")
                elapsed_s = self.clock.monotonic() - began
                yield Recovered(target, server.last_transaction_at(), elapsed_s)
                self._checkpoint(target)
                server.stop(keep_files=True)
            except (ProcessesStopped, KeyboardInterrupt):
                raise RestoreInterrupted("stopped") from None
            finally:
                server.stop(keep_files=False)

    def _wait(self, server: Server, on_tick: Callable[[], None]) -> None:
        def tick() -> None:
            if self.processes.stopping:
                raise ProcessesStopped("stopping")
            on_tick()

        try:
            server.wait_ready(self.timeout_s, tick)
        except SandboxFailed as error:
            if self.processes.stopping:
                raise RestoreInterrupted("stopped") from None
            raise RestoreFailed(
                f"the restored cluster did not come up: {server.complaint()} (see {self.bench.log})"
            ) from error

    def _argv(self, sockets: Path, settings: Mapping[str, str]) -> list[str]:
        tools = (
            readable_tools(self.tools, self.bench.folder, self.account) if self.account else None
        )
        programs = tools or self.tools
        conf, hba = self.bench.folder / "postgresql.conf", self.bench.folder / "pg_hba.conf"
        for file, text in ((conf, ""), (hba, HBA), (self.laid.data_dir / SIGNAL, "")):
            file.write_text(text)
            file.chmod(0o600)
            self.bench.give(file)
        told = {
            **SHUT_IN,
            **self._control(programs),
            **{
                k: v
                for major, more in SINCE.items()
                if programs.major >= major
                for k, v in more.items()
            },
            "config_file": str(conf),
            "hba_file": str(hba),
            "ident_file": str(hba.with_name("none")),
            "data_directory": str(self.laid.data_dir),
            "unix_socket_directories": str(sockets),
            **settings,
        }
        writable = [self.laid.data_dir, *self.laid.tablespaces.values(), self.bench.spool, sockets]
        shut_in = jail.argv_of(writable, user=self.account, nice=0)
        given = [f"--{name}={value}" for name, value in told.items()]
        return [*shut_in, programs.path("postgres"), "-D", str(self.laid.data_dir), *given]

    def _control(self, tools: Tools) -> dict[str, str]:
        """What the cluster was written with, which recovery insists on."""
        argv = [tools.path("pg_controldata"), str(self.laid.data_dir)]
        try:
            done = self.processes.run(
                argv, timeout_s=TOOL_TIMEOUT_S, user=self.account, env={"LC_ALL": "C"}
            )
        except (ProcessTimedOut, OSError) as error:
            raise RestoreFailed(f"pg_controldata: {error}") from None
        return control_settings(done.stdout)

    def _checkpoint(self, target: Target) -> None:
        """All on disk before it is stopped: a stop has little patience."""
        try:
            with writing_session(target, "restore") as opened:
                opened.query("CHECKPOINT", timeout_s=CHECKPOINT_TIMEOUT_S)
        except (Unreachable, QueryFailed) as error:
            raise RestoreFailed(f"the restored cluster can't be checkpointed: {error}") from None


def disable_subscriptions(target: Target) -> list[str]:
    """Keep restored subscriptions from using up production's slots when the server starts.

    Gives what a person is to know of each.
    """
    with session(target, "restore") as opened:
        found = opened.query(_SUBSCRIPTIONS)
    notes = []
    for row in found:
        name = quoted_name(row["name"])
        with writing_session(replace(target, dbname=row["dbname"]), "restore") as opened:
            opened.query(f"ALTER SUBSCRIPTION {name} DISABLE")
        notes.append(
            f"subscription {row['name']} in {row['dbname']} is disabled; when it may follow "
            f"again: ALTER SUBSCRIPTION {name} ENABLE"
        )
    return notes
