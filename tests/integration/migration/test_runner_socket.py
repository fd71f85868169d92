"""Runs handed over a socket end as plain children do, and never outlive whoever wanted them."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from shippyard.host.process import PIPE, Processes
from shippyard.migration.execution import RunFailed, RunInterrupted
from shippyard.migration.launch import LaunchFailed, Work
from shippyard.migration.launch_relay import door_to
from shippyard.migration.launch_socket import SocketLauncher
from shippyard.migration.planner import PlanFailed

DAEMON = """
import sys
from pathlib import Path
from shippyard.host.process import Processes
from shippyard.migration.launch_relay import door_to
from shippyard.migration.launch_socket import SocketLauncher
from shippyard.migration.spec import RunSpec
from shippyard.migration.supervise import Supervisor

spec = RunSpec.from_json(Path(sys.argv[1]).read_bytes())
supervisor = Supervisor(Processes(), SocketLauncher(Path(sys.argv[2])))
supervisor.run(spec, 60.0, lambda event: print(event["event"], flush=True))
"""
SERVED = """
import sys
from shippyard.migration import at_socket

at_socket.ROLLBACK_S = float(sys.argv[1])
sys.exit(at_socket.main())
"""
OURS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND application_name LIKE 'shippyard:migrate%'"
)
QUEUED = f"{OURS} AND query LIKE 'ALTER%' AND wait_event_type = 'Lock'"


class Systemd:
    """What a socket unit with Accept=yes does: one process for each connection."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.patience_s = 30.0
        self.started: list[subprocess.Popen[bytes]] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            with link:
                argv = [sys.executable, "-c", SERVED, str(self.patience_s)]
                self.started.append(
                    subprocess.Popen(argv, stdin=link.fileno(), stdout=link.fileno())
                )

    def all_gone(self) -> bool:
        return all(each.poll() is not None for each in self.started)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self.started:
            each.kill()
            each.wait(10)


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    made = Systemd(tmp_path / "runner.sock")
    try:
        yield made
    finally:
        made.close()


def with_socket(bench: Any, path: Path, **changes: Any) -> Any:
    config = bench.migrations._config.model_copy(update={"runner_socket": path, **changes})
    return bench.build(config=config)


def run(migrations: Any, bench: Any) -> Any:
    return migrations.run("shippyar", order=bench.ana)


def test_a_plan_is_rendered_and_run_over_there(bench: Any, systemd: Systemd) -> None:
    bench.tree.add("op.execute(f'CREATE TABLE parcels (parent int DEFAULT {os.getppid()})')")
    migrations = with_socket(bench, systemd.path)
    migrations._planner._render.cache_clear()
    assert run(migrations, bench).state == "done"
    default = (
        "SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = 'parcels'::regclass"
    )
    assert int(bench.scalar(default)) in [each.pid for each in systemd.started]


def test_a_failure_is_told_in_its_own_words(bench: Any, systemd: Systemd) -> None:
    bench.tree.add("raise RuntimeError('no parcels here')")
    with pytest.raises(RunFailed, match="001: no parcels here"):
        run(with_socket(bench, systemd.path), bench)
    assert bench.version() is None


def test_a_death_without_a_word_is_an_interruption(bench: Any, systemd: Systemd) -> None:
    bench.tree.add("op.get_context().as_sql or os.kill(os.getpid(), 9)")
    with pytest.raises(RunInterrupted, match="exit status -9"):
        run(with_socket(bench, systemd.path), bench)


def test_a_stop_rolls_back(bench: Any, systemd: Systemd, eventually: Any) -> None:
    bench.begin_with_parcels()
    sleep = "op.get_context().as_sql or time.sleep(60)"
    bench.tree.add(f"op.execute('ALTER TABLE parcels ADD COLUMN c int'); {sleep}")
    migrations = with_socket(bench, systemd.path)
    work = bench.in_background(lambda: run(migrations, bench))
    idle = f"{OURS} AND state = 'idle in transaction'"
    eventually(lambda: bench.scalar(idle) == 1)
    migrations.cancel("shippyar", "ana")
    with pytest.raises(RunInterrupted, match="stopped; what was not committed is rolled back"):
        work.result()
    assert bench.version() == "001"
    eventually(systemd.all_gone)


def test_a_run_past_its_deadline_is_stopped(bench: Any, systemd: Systemd, eventually: Any) -> None:
    bench.begin_with_parcels()
    bench.tree.add("op.get_context().as_sql or time.sleep(60)")
    with pytest.raises(RunFailed, match=r"migration\.timeout_s"):
        run(with_socket(bench, systemd.path, timeout_s=2.0), bench)
    eventually(systemd.all_gone)
    assert bench.scalar(OURS) == 0


@pytest.mark.parametrize("deaf", ["", "signal.signal(15, signal.SIG_IGN); "])
def test_nothing_outlives_a_daemon_that_was_killed(
    bench: Any, systemd: Systemd, eventually: Any, processes: Processes, deaf: str
) -> None:
    systemd.patience_s = 1.0 if deaf else 30.0
    bench.begin_with_parcels()
    bench.tree.add(f"import signal; {deaf}op.execute('ALTER TABLE parcels ADD COLUMN c int')")
    migrations = with_socket(bench, systemd.path, lock_timeout_ms=60_000)
    folder = systemd.path.parent
    prepared = migrations._prepare("shippyar", "head")
    spec_file = folder / "spec.json"
    spec_file.write_bytes(prepared.run_spec("test-run").to_json())
    argv = [sys.executable, "-c", textwrap.dedent(DAEMON), str(spec_file), str(systemd.path)]
    with bench.connect() as holder, holder.transaction():
        holder.execute("SELECT * FROM parcels")
        with processes.start(argv, stdout=PIPE) as owner:
            eventually(lambda: bench.scalar(QUEUED) == 1)
            os.kill(owner.pid, signal.SIGKILL)
        eventually(systemd.all_gone)
        eventually(lambda: bench.scalar(OURS) == 0, timeout_s=5.0)
    assert bench.version() == "001"


@pytest.fixture
def closed(bench: Any, tmp_path: Path) -> Path:
    """The server's folder as others see a sandbox's: they can't enter."""
    outer = tmp_path / "closed"
    outer.mkdir(mode=0o700)
    (outer / "socket").symlink_to(bench.target.host)
    return outer / "socket"


def test_a_sandbox_is_reached_through_a_door(bench: Any, systemd: Systemd, closed: Path) -> None:
    bench.tree.add("op.execute('CREATE TABLE seen AS SELECT true AS here')")
    inside = replace(bench.target, host=str(closed))
    migrations = with_socket(bench, systemd.path)
    migrations = bench.build(config=migrations._config, targets={"shippyar": inside})
    assert run(migrations, bench).state == "done"
    assert bench.scalar("SELECT here FROM seen") is True


def test_the_door_lets_in_one_role_to_one_database(bench: Any, closed: Path) -> None:
    conninfo = replace(bench.target, host=str(closed)).conninfo()
    with door_to(conninfo) as door:
        assert door is not None
        door.let_in(os.getuid())
        through = {**conninfo, "host": door.host, "sslmode": "disable"}
        with psycopg.connect(**through) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        for other in ({"user": "somebody"}, {"dbname": "postgres"}, {"replication": "database"}):
            with pytest.raises(psycopg.OperationalError, match="closed the connection"):
                psycopg.connect(**{**through, **other})
    with pytest.raises(psycopg.OperationalError, match="refused"):
        psycopg.connect(**through)


def test_the_door_is_shut_to_other_users(bench: Any, closed: Path) -> None:
    conninfo = replace(bench.target, host=str(closed)).conninfo()
    with door_to(conninfo) as door:
        assert door is not None
        door.let_in(os.getuid() + 1)
        with pytest.raises(psycopg.OperationalError, match="closed the connection"):
            psycopg.connect(**{**conninfo, "host": door.host, "sslmode": "disable"})


def test_a_server_that_everybody_can_reach_needs_no_door(bench: Any, tmp_path: Path) -> None:
    with door_to({"host": "127.0.0.1"}) as door:
        assert door is None
    with door_to({"host": "/run"}) as door:
        assert door is None


def test_a_socket_that_is_not_there_says_how_to_begin_it(bench: Any, tmp_path: Path) -> None:
    bench.tree.add("op.execute('SELECT 1')")
    migrations = with_socket(bench, tmp_path / "none.sock")
    with pytest.raises(PlanFailed, match=r"systemctl enable --now shippyard-runner\.socket"):
        migrations.plan("shippyar", order=bench.ana)


def test_nothing_is_told_to_a_stranger_who_has_the_name(tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can be two users")
    path = tmp_path / "runner.sock"
    stranger = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stranger.bind(str(path))
    os.seteuid(65534)
    try:
        stranger.listen()
    finally:
        os.seteuid(0)
    work = Work("run", tmp_path, b"{}")
    with pytest.raises(LaunchFailed, match="held by user 65534"), SocketLauncher(path).launch(work):
        pass
    stranger.close()


def test_a_connection_that_is_closed_at_once_started_nothing(tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(tmp_path / "full.sock"))
    listener.listen()

    def hang_up() -> None:
        listener.accept()[0].close()

    threading.Thread(target=hang_up, daemon=True).start()
    launcher = SocketLauncher(tmp_path / "full.sock")
    (tmp_path / "copy").mkdir()
    work = Work("run", tmp_path / "copy", b"{}")
    with pytest.raises(LaunchFailed, match="took nothing"), launcher.launch(work):
        pass
    listener.close()


def test_it_says_who_it_is_and_what_it_reaches(systemd: Systemd, tmp_path: Path) -> None:
    answer = SocketLauncher(systemd.path).ask(
        {"here": str(tmp_path), "nowhere": str(tmp_path / "nowhere")}
    )
    assert answer == {"uid": os.getuid(), "reached": ["here"]}
