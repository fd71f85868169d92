"""`shippyard wal` as a program: received through kills and promotions, pushed without a daemon."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import psycopg
import pytest

from shippyard.backup.wal.archive import WalArchive
from shippyard.backup.wal.names import is_segment
from shippyard.backup.wal.presence import Presence
from shippyard.backup.wal.scan import ScanReport, scan
from shippyard.backup.wal.spool import Spool
from shippyard.backup.wal.status import read_status
from shippyard.host.accounts import account_for_postgres
from shippyard.host.clock import SystemClock
from shippyard.host.process import Processes
from shippyard.postgres.embedded import EmbeddedCluster
from shippyard.postgres.tools import server_tools
from tests.conftest import Eventually

ROOT = Path(__file__).parents[3]


@dataclass
class Place:
    """A folder with servers in it, and an archive."""

    folder: Path
    processes: Processes
    archive: WalArchive

    @contextlib.contextmanager
    def server(self, name: str, **settings: str) -> Iterator[EmbeddedCluster]:
        cluster = EmbeddedCluster(
            self.folder / name, server_tools(self.processes), self.processes, settings
        )
        try:
            cluster.create()
            cluster.start()
            yield cluster
        finally:
            cluster.destroy()

    @contextlib.contextmanager
    def standby_of(self, primary: EmbeddedCluster) -> Iterator[EmbeddedCluster]:
        """A copy that follows; it is stopped, and started by whoever wants it."""
        cluster = EmbeddedCluster(self.folder / "standby", primary._tools, self.processes)
        try:
            cluster.socket_dir.mkdir(parents=True)
            primary.stop()
            shutil.copytree(primary.data_dir, cluster.data_dir)
            with (cluster.data_dir / "postgresql.auto.conf").open("a") as file:
                file.write(
                    f"unix_socket_directories = '{cluster.socket_dir}'\n"
                    f"primary_conninfo = 'host={primary.socket_dir} user=postgres'\n"
                )
            (cluster.data_dir / "standby.signal").touch()
            if account := account_for_postgres():
                for path in (self.folder / "standby", *(self.folder / "standby").rglob("*")):
                    shutil.chown(path, account)
            primary.start()
            yield cluster
        finally:
            cluster.destroy()

    @contextlib.contextmanager
    def receiver(self, cluster: EmbeddedCluster) -> Iterator["subprocess.Popen[bytes]"]:
        with self.program(cluster, "wal", "receive", "main", "--create-slot") as popen:
            yield popen
            popen.send_signal(signal.SIGTERM)
            assert popen.wait(10) == 0

    @contextlib.contextmanager
    def program(
        self, cluster: EmbeddedCluster, *arguments: str
    ) -> Iterator["subprocess.Popen[bytes]"]:
        """The program on a configuration of this place; killed at the end."""
        config = self.config(cluster)
        with (self.folder / "receiver.log").open("ab") as log:
            popen = subprocess.Popen(
                [sys.executable, "-m", "shippyard", *arguments, "--config", str(config)],
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )
        try:
            yield popen
        finally:
            popen.kill()
            popen.wait()

    def config(self, cluster: EmbeddedCluster) -> Path:
        path = self.folder / "shippyard.toml"
        path.write_text(
            f"""
environment = "testing"
[daemon]
state_dir = "{self.folder}/state"
[[databases]]
name = "shop"
dbname = "postgres"
host = "{cluster.socket_dir}"
monitor = {{ user = "postgres" }}
backup = {{ user = "postgres" }}
[backup]
dir = "{self.folder}/backups"
[backup.clusters.main]
wal = "stream"
replication = {{ user = "postgres" }}
"""
        )
        return path

    def whole(self) -> list[str]:
        return sorted(name for name in self.archive.kept().entries if is_segment(name))

    def scanned(self) -> ScanReport:
        looked = Presence(self.archive, clock=SystemClock(), every_s=60).look()
        return scan(looked.holdings, [])


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory, processes: Processes) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("wal")
    for each in (folder, *folder.parents):
        if each.stat().st_uid == os.getuid() and each != Path("/"):
            each.chmod(each.stat().st_mode | 0o011)
    yield Place(folder, processes, WalArchive(folder / "backups", "@main"))
    shutil.rmtree(folder, ignore_errors=True)


def execute(cluster: EmbeddedCluster, *statements: str) -> None:
    with psycopg.connect(**cluster.target().conninfo(), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def fill(cluster: EmbeddedCluster, segments: int) -> None:
    for _ in range(segments):
        execute(cluster, "SELECT pg_logical_emit_message(true, 'x', 'y')", "SELECT pg_switch_wal()")


def is_streaming(place: Place) -> bool:
    status = read_status(place.archive.folder)
    begun = any(place.archive.receiving.glob("*.partial"))
    return status is not None and status.state == "streaming" and begun


def test_killed_at_any_moment_it_goes_on_without_a_gap(
    place: Place, eventually: Eventually
) -> None:
    with place.server("primary") as primary:
        for _ in range(2):
            with place.program(primary, "wal", "receive", "main", "--create-slot") as receiver:
                eventually(lambda: is_streaming(place))
                fill(primary, 2)
                receiver.send_signal(signal.SIGKILL)
                receiver.wait()
        with place.receiver(primary):
            eventually(lambda: is_streaming(place))
            count = len(place.whole())
            fill(primary, 1)
            eventually(lambda: len(place.whole()) > count)
        report = place.scanned()
        assert (report.gaps, len(report.spans)) == ((), 1)
        assert place.archive.kept().lost == ()


def test_a_promoted_standby_goes_on_without_a_gap(place: Place, eventually: Eventually) -> None:
    """It was behind: what the old primary had written more is kept, and needed by nobody."""
    with place.server("primary") as primary, place.standby_of(primary) as standby:
        with place.receiver(primary):
            eventually(lambda: is_streaming(place))
            fill(primary, 2)
            standby.start()
            eventually(lambda: caught_up(primary))
            standby.stop()
            count = len(place.whole())
            fill(primary, 3)
            eventually(lambda: len(place.whole()) >= count + 3)
        primary.signal_all(signal.SIGKILL)
        standby.start()
        execute(standby, "SELECT pg_promote()")
        with place.receiver(standby):
            eventually(lambda: is_streaming(place))
            fill(standby, 2)
            eventually(lambda: any(name.startswith("00000002") for name in place.whole()))
        names = place.archive.kept().entries
        assert "00000002.history" in names
        report = place.scanned()
        assert (report.gaps, report.without_history) == ((), ())
        ahead = max(int(n[16:], 16) for n in names if n.startswith("00000001"))
        first = min(int(n[16:], 16) for n in names if n.startswith("00000002") and is_segment(n))
        assert ahead > first
        place.archive.path(f"{2:08X}{0:08X}{first:08X}").unlink()
        assert [gap.names(16 * 1024 * 1024) for gap in place.scanned().gaps] == [
            [f"{2:08X}{0:08X}{first:08X}"]
        ]


def caught_up(primary: EmbeddedCluster) -> bool:
    with psycopg.connect(**primary.target().conninfo()) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_replication WHERE application_name = 'walreceiver'"
            " AND replay_lsn >= pg_current_wal_lsn()"
        ).fetchone()
    return row == (1,)


def test_archive_command_hands_over_without_a_daemon(place: Place, eventually: Eventually) -> None:
    spool = place.folder / "spool"
    spool.mkdir()
    if account := account_for_postgres():
        shutil.chown(spool, account)
    push = f"{_python_for(account)} -m shippyard wal push %p --spool {spool}"
    with place.server("primary", archive_mode="on", archive_command=push) as primary:
        fill(primary, 3)
        eventually(lambda: len([n for n in os.listdir(spool) if is_segment(n)]) >= 3)  # noqa: PTH208
        place.archive.prepare()
        drained = Spool(spool, place.archive, SystemClock())
        drained.drain(lambda: False)
        assert len(place.whole()) >= 3
        assert drained.waiting() == []
        assert place.scanned().gaps == ()
        first, second, *_ = place.whole()
        assert fetch(place, primary, first) == 0
        assert (place.folder / first).stat().st_size == 16 * 1024 * 1024
        assert fetch(place, primary, "0000000100000000000000FF") == 1
        # PostgreSQL takes 1 for the end of WAL, so what is damaged must say something else.
        stored = place.archive.path(second)
        stored.write_bytes(stored.read_bytes()[:-5])
        assert fetch(place, primary, second) == 200


def fetch(place: Place, cluster: EmbeddedCluster, name: str) -> int:
    arguments = ("wal", "fetch", name, str(place.folder / name), "--cluster", "main")
    with place.program(cluster, *arguments) as program:
        return program.wait(20)


def _python_for(account: str | None) -> str:
    """A Python that the server's account may run, with what pushing imports."""
    here = [sys.executable, f"env PYTHONPATH={ROOT}:{Path(click.__file__).parents[1]} python3"]
    processes = Processes()
    for each in here:
        argv = ["sh", "-c", f"{each} -c 'import shippyard.cli.wal'"]
        if processes.run(argv, user=account, cwd=Path("/"), timeout_s=20).returncode == 0:
            return each
    return str(pytest.skip(f"no Python here that {account} may run"))
