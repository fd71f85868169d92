"""A sandbox reaches nothing, takes no more than it may, and leaves nothing behind."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from shippyard.host.process import Processes
from shippyard.postgres.embedded import EmbeddedCluster
from shippyard.postgres.target import Target
from shippyard.postgres.tools import Tools
from shippyard.sandbox import jail, record
from shippyard.sandbox.local import LocalHost
from shippyard.sandbox.model import Recovery, Sandbox, SandboxFailed, SandboxUnsafe
from tests.conftest import Eventually
from tests.integration.sandbox.conftest import MakeHost

READ = Recovery({"restore_command": "false", "recovery_target_timeline": "latest"})


def ask(target: Target, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(**target.conninfo(), autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def lay(cluster: EmbeddedCluster, sandbox: Sandbox, tools: Tools, processes: Processes) -> None:
    """A base backup with the WAL it needs, as files."""
    for folder in (cluster.data_dir / "pg_tblspc").iterdir():
        raise AssertionError(f"{folder}: the shared cluster has a tablespace")
    done = processes.run(
        [
            tools.path("pg_basebackup"),
            f"--pgdata={sandbox.data_dir}",
            "--checkpoint=fast",
            "--no-sync",
            *cluster.target().arguments()[:3],
        ],
        timeout_s=60,
    )
    assert done.returncode == 0, done.stderr


def test_an_empty_cluster_works_and_is_gone_after(
    host: LocalHost, tools: Tools, open_folder: Path
) -> None:
    with host.open("one", tools) as sandbox:
        sandbox.create_empty(encoding="UTF8")
        started = sandbox.start(settings={"TimeZone": "Europe/Oslo", "archive_command": "evil"})
        target = sandbox.target("postgres")
        assert ask(target, "SHOW TimeZone") == [("Europe/Oslo",)]
        assert ask(target, "SELECT count(*) FROM generate_series(1, 10)") == [(10,)]
        assert sandbox.used_bytes() > 1_000_000
        assert any("archive_command" in line for line in started.differs)
        sandbox.stop()
        sandbox.stop()
        with pytest.raises(psycopg.OperationalError):
            ask(target, "SELECT 1")
    assert list((open_folder / "sandboxes").iterdir()) == []


def test_an_unknown_collation_is_replaced_and_said(host: LocalHost, tools: Tools) -> None:
    with host.open("one", tools) as sandbox:
        sandbox.create_empty(collation="xx_XX.UTF-8")
        assert any("xx_XX.UTF-8" in line for line in sandbox.start().differs)


def test_it_reaches_nothing(
    host: LocalHost, tools: Tools, cluster: EmbeddedCluster, open_folder: Path
) -> None:
    if jail.lacking():
        pytest.skip(jail.lacking()[0])
    outside = open_folder / "outside"
    outside.mkdir()
    outside.chmod(0o777)
    with host.open("one", tools) as sandbox:
        sandbox.create_empty()
        sandbox.start()
        target = sandbox.target("postgres")
        ask(target, "CREATE EXTENSION dblink")
        with pytest.raises(psycopg.Error, match=r"could not|denied"):
            ask(target, f"SELECT dblink_connect('host={cluster.socket_dir} user=postgres')")
        with pytest.raises(psycopg.Error, match="could not"):
            ask(target, "SELECT dblink_connect('host=127.0.0.1 user=postgres')")
        with pytest.raises(psycopg.Error, match="Permission denied"):
            ask(target, f"COPY (SELECT 1) TO '{outside}/file'")
        with pytest.raises(psycopg.Error, match="failed"):
            ask(target, f"COPY (SELECT 1) TO PROGRAM 'cat > {outside}/file'")
        shutil.chown(outside, sandbox.account or os.geteuid())
        with pytest.raises(psycopg.Error, match="denied"):
            ask(target, f"CREATE TABLESPACE away LOCATION '{outside}'")
    assert list(outside.iterdir()) == []


def test_a_restored_cluster_is_made_harmless(
    host: LocalHost, tools: Tools, cluster: EmbeddedCluster, processes: Processes
) -> None:
    with host.open("one", tools) as sandbox:
        lay(cluster, sandbox, tools, processes)
        data_dir = sandbox.data_dir
        with (data_dir / "postgresql.auto.conf").open("a") as file:
            file.write("primary_conninfo = 'host=10.0.0.1'\narchive_command = 'evil'\n")
        (data_dir / "postgresql.conf").write_text("include '/etc/postgresql/production.conf'\n")
        (data_dir / "pg_hba.conf").write_text("host all all 0.0.0.0/0 trust\n")
        (data_dir / "standby.signal").touch()
        (data_dir / "pg_replslot" / "old").mkdir()
        started = sandbox.start(
            recovery=READ,
            settings={"shared_preload_libraries": "pg_stat_statements, pg_cron"},
        )
        target = sandbox.target("postgres")
        shown = {
            str(name): value for name, value in ask(target, "SELECT name, setting FROM pg_settings")
        }
        assert shown["listen_addresses"] == ""
        assert shown["archive_mode"] == "off"
        assert shown["primary_conninfo"] == ""
        assert shown["max_logical_replication_workers"] == "0"
        assert shown["shared_preload_libraries"] == "pg_stat_statements"
        assert ask(target, "SELECT pg_is_in_recovery()") == [(False,)]
        assert ask(target, "SELECT count(*) FROM pg_replication_slots") == [(0,)]
        rules = ask(target, "SELECT type, auth_method FROM pg_hba_file_rules")
        assert rules == [("local", "trust")]
        assert "preload library pg_cron is not loaded" in started.differs
        assert ask(target, "SELECT setting = '0700' FROM pg_settings WHERE name LIKE 'unix%ns'")


@pytest.mark.parametrize("way", ["link", "map", "elsewhere", "shared"])
def test_a_way_out_is_refused(host: LocalHost, tools: Tools, open_folder: Path, way: str) -> None:
    outside = open_folder / "production"
    outside.mkdir()
    (outside / "file").write_text("precious")
    with host.open("one", tools) as sandbox:
        sandbox.create_empty()
        data_dir = sandbox.data_dir
        if way == "link":
            (data_dir / "pg_tblspc" / "16400").symlink_to(outside)
        elif way == "map":
            (data_dir / "tablespace_map").write_text(f"16400 {outside}\n")
        elif way == "elsewhere":
            (data_dir / "base" / "1" / "999").symlink_to(outside / "file")
        else:
            os.link(outside / "file", data_dir / "base" / "1" / "999")
        with pytest.raises(SandboxUnsafe, match="leaves the sandbox"):
            sandbox.start()
        assert (data_dir / "postgresql.conf").read_text().count("listen_addresses = ''") == 0
    assert (outside / "file").read_text() == "precious"


def test_links_that_stay_inside_are_fine(host: LocalHost, tools: Tools) -> None:
    with host.open("one", tools) as sandbox:
        sandbox.create_empty()
        place = sandbox.tablespace_dir / "16400"
        place.mkdir()
        (sandbox.data_dir / "pg_tblspc" / "16400").symlink_to(place)
        sandbox.start()


def test_a_recovery_that_would_reach_a_server_is_refused(host: LocalHost, tools: Tools) -> None:
    with host.open("one", tools) as sandbox:
        sandbox.create_empty()
        with pytest.raises(SandboxUnsafe, match="primary_conninfo"):
            sandbox.start(recovery=Recovery({"primary_conninfo": "host=production"}))


def test_what_postgresql_says_is_handed_on(host: LocalHost, tools: Tools) -> None:
    with host.open("one", tools) as sandbox:
        sandbox.create_empty()
        (sandbox.data_dir / "global" / "pg_control").write_bytes(b"nonsense" * 1024)
        with pytest.raises(SandboxFailed, match=r"FATAL|PANIC"):
            sandbox.start()


def test_over_its_disk_budget_it_is_ended(
    make_host: MakeHost, tools: Tools, eventually: Eventually
) -> None:
    with make_host(disk_budget_bytes=60_000_000).open("one", tools) as sandbox:
        sandbox.create_empty()
        sandbox.start()
        with pytest.raises(psycopg.Error):
            ask(
                sandbox.target("postgres"),
                "CREATE TABLE big AS SELECT repeat(md5(n::text), 60) FROM"
                " generate_series(1, 500000) n; SELECT pg_sleep(10)",
            )
        assert "disk_budget_bytes" in (sandbox.over_budget or "")
        with pytest.raises(SandboxFailed, match="disk_budget_bytes"):
            sandbox.start()


def test_a_folder_that_postgresql_cannot_enter_is_said(make_host: MakeHost, tools: Tools) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root drops to another account")
    folder = Path("/root") / "shippyard-test-never-made"
    with pytest.raises(SandboxFailed, match=r"backup\.sandbox\.dir"):
        with make_host(dir=folder).open("one", tools):
            pass
    folder.rmdir()


OWNER = """
import sys, time
from pathlib import Path
from shippyard.config.models import Sandbox
from shippyard.host.clock import SystemClock
from shippyard.host.process import Processes
from shippyard.postgres.tools import server_tools
from shippyard.sandbox.local import LocalHost
processes = Processes()
host = LocalHost(Sandbox(), processes, SystemClock(), Path(sys.argv[1]))
with host.open("orphan", server_tools(processes)) as sandbox:
    sandbox.create_empty()
    sandbox.start()
    print("up", flush=True)
    time.sleep(60)
"""


def test_it_dies_with_its_owner_and_is_swept(
    host: LocalHost, open_folder: Path, eventually: Eventually
) -> None:
    folder = open_folder / "sandboxes"
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    try:
        assert owner.stdout.readline() == "up\n"
        assert host.sweep() == [], "a living owner's sandbox was swept"
        known = record.read(folder / "orphan")
        assert known
        assert known.pid
        owner.send_signal(signal.SIGKILL)
        owner.wait(10)
    finally:
        owner.kill()
        owner.wait(10)
        owner.stdout.close()
    eventually(lambda: record.inside(folder / "orphan") == [])
    assert host.sweep() == ["orphan"]
    assert list(folder.iterdir()) == []
    assert not Path(known.socket_dir).exists()
