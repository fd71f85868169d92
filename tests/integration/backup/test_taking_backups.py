"""Backups of a real PostgreSQL: what is in them, what is said of them, and how they fail."""

import hashlib
import json
import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from shippyard.backup.compression import decompressed
from shippyard.backup.layout import Layout
from shippyard.backup.model import BackupFailed
from shippyard.backup.service import BackupService
from shippyard.backup.turns import BackupBusy
from shippyard.host.process import Completed, Processes
from shippyard.postgres.embedded import EmbeddedCluster, embedded_cluster
from shippyard.postgres.target import Target
from shippyard.postgres.tools import Tools, installed_tools, tools_for
from shippyard.telemetry.condition import Condition
from tests.conftest import Eventually, FakeClock
from tests.integration.backup.conftest import MakeYard, Yard, execute

CONTENT = """
    SELECT md5(string_agg(u::text, '' ORDER BY id)) FROM users u
    UNION ALL SELECT md5(string_agg(o::text, '' ORDER BY id)) FROM orders o
    UNION ALL SELECT string_agg(version_num, ',') FROM alembic_version
    UNION ALL SELECT count(*)::text FROM buyers
    UNION ALL SELECT last_value::text FROM users_id_seq
    UNION ALL SELECT encode(lo_get(4711), 'escape')
"""


@pytest.fixture
def tools(processes: Processes, cluster: EmbeddedCluster) -> Tools:
    with psycopg.connect(**cluster.target().conninfo()) as connection:
        return tools_for(processes, connection.info.server_version // 10_000)


@dataclass(frozen=True)
class Second:
    """An empty database to restore into, and the tools to do it."""

    target: Target
    tools: Tools
    processes: Processes

    def run(self, target: Target, program: str, *arguments: str) -> Completed:
        done = self.processes.run(
            [self.tools.path(program), *target.arguments(), *arguments],
            timeout_s=60,
            env=target.environment(),
        )
        assert done.returncode == 0, done.stderr
        return done

    def assert_same_schema(self, first: Target, folder: Path) -> None:
        of_first, of_second = (self._schema(each, folder) for each in (first, self.target))
        assert of_first == of_second

    def _schema(self, target: Target, folder: Path) -> list[str]:
        file = folder / f"{target.dbname}.sql"
        self.run(target, "pg_dump", "--schema-only", f"--file={file}")
        # the key of \\restrict is random
        return [line for line in file.read_text().splitlines() if "restrict " not in line]


@pytest.fixture
def second(cluster: EmbeddedCluster, tools: Tools, processes: Processes) -> Iterator[Second]:
    admin, name = cluster.target(), f"r_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(**admin.conninfo(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield Second(replace(admin, dbname=name), tools, processes)
    with psycopg.connect(**admin.conninfo(), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def ask(target: Target, question: str) -> list[Any]:
    with psycopg.connect(**target.conninfo()) as connection:
        return connection.execute(question.encode()).fetchall()


def test_a_full_dump_restores_into_an_equal_database(
    yard: Yard, shop: Target, second: Second, tmp_path: Path
) -> None:
    backup = yard.service.run("shop", "dump", "manual")
    archive = tmp_path / "archive"
    with decompressed(yard.file(backup.id)) as stream:
        archive.write_bytes(stream.read())
    second.run(second.target, "pg_restore", "--exit-on-error", str(archive))
    assert ask(second.target, CONTENT) == ask(shop, CONTENT)
    second.assert_same_schema(shop, tmp_path)


def test_a_schema_dump_restores_into_an_equal_schema_without_rows(
    yard: Yard, shop: Target, second: Second, tmp_path: Path
) -> None:
    backup = yard.service.run("shop", "schema", "manual")
    file = yard.service.path(backup) / "schema.sql"
    second.run(second.target, "psql", "--set=ON_ERROR_STOP=1", f"--file={file}")
    second.assert_same_schema(shop, tmp_path)
    assert ask(second.target, "SELECT count(*) FROM users") == [(0,)]


def test_the_manifest_tells_the_truth(yard: Yard, shop: Target, tools: Tools) -> None:
    lsn_before = ask(shop, "SELECT pg_current_wal_lsn()::text")[0][0]
    backup = yard.service.run("shop", "dump", "pre_migration", held_by="run-1")
    envelope = json.loads((yard.service.path(backup) / "manifest.json").read_text())
    document = envelope["manifest"]
    assert document == yard.service.manifest(backup.id)
    folder = yard.service.path(backup)
    assert {each["name"] for each in document["files"]} == {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }
    for each in document["files"]:
        data = (folder / each["name"]).read_bytes()
        assert each["size_bytes"] == len(data)
        assert each["sha256"] == hashlib.sha256(data).hexdigest()
    source = document["source"]
    assert source["alembic_revision"] == "0003"
    assert source["table_count"] == 3
    assert source["dbname"] == shop.dbname
    identifier = ask(shop, "SELECT system_identifier::text FROM pg_control_system()")[0][0]
    assert source["system_identifier"] == identifier
    newer = f"SELECT '{source['lsn_at_start']}'::pg_lsn >= '{lsn_before}'::pg_lsn"
    assert ask(shop, newer) == [(True,)]
    assert document["made"]["tool_major"] == tools.major
    assert document["made"]["argv"][0] == tools.path("pg_dump")
    assert (document["held_by"], document["reason"]) == ("run-1", "pre_migration")
    assert backup.size_bytes == sum(each["size_bytes"] for each in document["files"])
    assert yard.service.manifest_of(backup.id).database == "shop"
    assert yard.service.chain_of(backup.id) == [yard.service.manifest_of(backup.id)]


def test_only_its_owner_can_read_it(yard: Yard, shop: Target) -> None:
    backup = yard.service.run("shop", "dump", "manual")
    folder = yard.service.path(backup)
    for path in [folder, folder.parent, *folder.rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def test_it_says_where_it_is_and_how_it_ended(yard: Yard, shop: Target) -> None:
    said: list[Mapping[str, Any]] = []
    assert yard.gauge("last_success_timestamp_seconds") is None
    taken = yard.service.take("shop", held_by="run-1", progress=said.append)
    phases = list(dict.fromkeys(each["phase"] for each in said))
    assert phases == [
        "locked",
        "preflight",
        "running",
        "exited",
        "fsynced",
        "verified",
        "manifested",
    ]
    assert {each["id"] for each in said} == {taken.id}
    assert max(each.get("size_bytes", 0) for each in said) == taken.size_bytes
    assert yard.service.newest("shop") == taken
    assert yard.told == [Condition("backup_failed", "shop", None, "ticket")]
    assert yard.service.running() == {}
    assert yard.gauge("last_success_timestamp_seconds") == taken.started_at.timestamp()
    assert yard.gauge("last_size_bytes") == taken.size_bytes
    assert yard.gauge("published") == 1
    assert yard.gauge("runs_total", outcome="published") == 1
    assert yard.gauge("runs_total", outcome="failed") == 0


def assert_failed_cleanly(yard: Yard, reason: str, *, told: bool = True) -> None:
    """Nothing on disk, one failed row with the reason, everyone told."""
    assert yard.visible() == []
    row = yard.service.history()[0]
    assert row.state == "failed"
    assert row.error is not None
    assert reason in row.error
    assert "\n" not in row.error
    if told:
        assert str(yard.errors()[-1]).startswith(f"dump backup of shop failed: {row.error}; when")
    else:
        assert yard.told == []
    assert yard.gauge("runs_total", outcome="failed") == 1
    assert yard.gauge("last_success_timestamp_seconds") is None
    assert yard.service.newest("shop") is None


def test_an_unreachable_server_is_one_line(make_yard: MakeYard, tmp_path: Path) -> None:
    yard = make_yard(target=Target(str(tmp_path), 5999, "shop", "backup_user"))
    with pytest.raises(BackupFailed, match=r"backup_user@.*5999/shop: connection"):
        yard.service.run("shop", "dump", "manual")
    assert_failed_cleanly(yard, "No such file or directory")


@pytest.fixture
def wrong_password(cluster: EmbeddedCluster, shop: Target) -> Iterator[Target]:
    """A role that must show a password, and the wrong one."""
    rules = cluster.data_dir / "pg_hba.conf"
    before = rules.read_text()
    role = f"locked_{shop.dbname}"
    rules.write_text(f"local all {role} scram-sha-256\n{before}")
    execute(shop, f"CREATE ROLE {role} LOGIN PASSWORD 'right'", "SELECT pg_reload_conf()")
    yield replace(shop, user=role, password="wrong-hunter2")
    rules.write_text(before)
    execute(shop, f"DROP ROLE {role}", "SELECT pg_reload_conf()")


def test_a_wrong_password_is_one_line_without_it(
    make_yard: MakeYard, wrong_password: Target
) -> None:
    yard = make_yard(target=wrong_password)
    with pytest.raises(BackupFailed, match="password authentication failed") as failed:
        yard.service.run("shop", "dump", "manual")
    assert "hunter2" not in str(failed.value)
    assert_failed_cleanly(yard, "password authentication failed")


@pytest.fixture
def poor_role(shop: Target) -> Iterator[Target]:
    role = f"poor_{shop.dbname}"
    execute(shop, f"CREATE ROLE {role} LOGIN")
    yield replace(shop, user=role)
    execute(shop, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_too_few_rights_come_with_the_grant(make_yard: MakeYard, poor_role: Target) -> None:
    yard = make_yard(target=poor_role)
    with pytest.raises(BackupFailed, match=f"GRANT pg_read_all_data TO {poor_role.user}"):
        yard.service.run("shop", "dump", "manual")
    assert_failed_cleanly(yard, poor_role.user)


def test_rows_hidden_by_a_policy_are_an_error_and_no_smaller_dump(
    make_yard: MakeYard, shop: Target, poor_role: Target
) -> None:
    execute(
        shop,
        f"GRANT pg_read_all_data TO {poor_role.user}",
        "ALTER TABLE users ENABLE ROW LEVEL SECURITY",
        "SELECT lo_unlink(4711)",  # another owner's large object is another story
    )
    yard = make_yard(target=poor_role)
    with pytest.raises(BackupFailed, match=f"run: ALTER ROLE {poor_role.user} BYPASSRLS$"):
        yard.service.run("shop", "dump", "manual")
    assert_failed_cleanly(yard, "row-level security")
    execute(shop, f"ALTER ROLE {poor_role.user} BYPASSRLS")
    assert yard.service.run("shop", "dump", "manual").counts


def test_a_locked_table_ends_the_dump_in_time(make_yard: MakeYard, shop: Target) -> None:
    yard = make_yard(lock_wait_timeout_s=0.2)
    with psycopg.connect(**shop.conninfo()) as holder:
        holder.execute("LOCK TABLE orders")
        with pytest.raises(BackupFailed, match=r"orders: .* a table stayed locked; see who"):
            yard.service.run("shop", "dump", "manual")
    assert_failed_cleanly(yard, "orders")


def test_without_space_nothing_is_begun(
    yard: Yard, shop: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = yard.service.run("shop", "dump", "manual")
    assert first.size_bytes is not None
    monkeypatch.setattr(Layout, "free_bytes", lambda _: int(1.3 * (first.size_bytes or 0)))
    with pytest.raises(BackupFailed, match=r"bytes free in .* needed; free some"):
        yard.service.run("shop", "dump", "manual")
    assert yard.visible() == [first.id]
    monkeypatch.setattr(Layout, "free_bytes", lambda _: int(1.3 * (first.size_bytes or 0)) + 1)
    assert yard.service.run("shop", "dump", "manual").counts


@pytest.fixture
def background() -> Iterator[list[threading.Thread]]:
    """Threads that are waited for when the test ends."""
    threads: list[threading.Thread] = []
    yield threads
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def begin(service: BackupService, threads: list[threading.Thread]) -> list[str]:
    """A dump in a thread of its own; the list gets how it ended."""
    ended: list[str] = []

    def work() -> None:
        try:
            ended.append(service.run("shop", "dump", "manual").state)
        except BackupFailed as error:
            ended.append(str(error))

    threads.append(threading.Thread(target=work))
    threads[-1].start()
    return ended


LOCK_VIEW = "ALTER VIEW buyers ALTER COLUMN buyer SET DEFAULT 1"


def is_running(yard: Yard) -> bool:
    """True once pg_dump waits for the view that the test has locked."""
    waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'buyers'::regclass"
    return (1,) in ask(yard.target, waiting)


def test_of_two_at_once_the_second_gets_one_line(
    make_yard: MakeYard, shop: Target, eventually: Eventually, background: list[threading.Thread]
) -> None:
    yard = make_yard(lock_wait_timeout_s=30)
    with psycopg.connect(**shop.conninfo()) as holder:
        holder.execute(LOCK_VIEW)
        ended = begin(yard.service, background)
        eventually(lambda: is_running(yard))
        running = yard.service.history()[0]
        # another object, as another daemon would have
        with pytest.raises(BackupBusy, match=f"is being made already .{running.id}, process"):
            make_yard().service.run("shop", "dump", "manual")
        assert len(yard.service.history()) == 1
        assert yard.told == []
    eventually(lambda: ended)
    assert ended == ["published"]


def test_a_stopping_daemon_leaves_a_failed_row_and_no_pieces(
    make_yard: MakeYard, shop: Target, eventually: Eventually, background: list[threading.Thread]
) -> None:
    mine = Processes()
    yard = make_yard(with_processes=mine, lock_wait_timeout_s=30)
    with psycopg.connect(**shop.conninfo()) as holder:
        holder.execute(LOCK_VIEW)
        ended = begin(yard.service, background)
        eventually(lambda: is_running(yard))
        mine.end_all()
        eventually(lambda: ended)
    assert ended == ["stopped: pg_dump was asked to end"]
    assert_failed_cleanly(yard, "stopped", told=False)
    with pytest.raises(BackupFailed, match="stopped: the daemon is stopping"):
        yard.service.run("shop", "dump", "manual")


def test_an_unknown_database_is_named_with_those_there_are(yard: Yard) -> None:
    with pytest.raises(BackupFailed, match=r"no database 'nosuch' in the configuration; .* shop"):
        yard.service.run("nosuch", "dump", "manual")


def test_two_in_one_second_are_two(yard: Yard, shop: Target, clock: FakeClock) -> None:
    first, second = (yard.service.run("shop", "schema", "manual") for _ in range(2))
    assert first.started_at == second.started_at == clock.now()
    assert yard.visible() == sorted([first.id, second.id])


def test_the_tools_of_the_servers_own_major_are_used(
    processes: Processes, make_yard: MakeYard
) -> None:
    servers = installed_tools(processes, program="initdb")
    newest = max(servers, key=lambda each: each.major)
    if len({each.major for each in servers}) == 1:
        pytest.skip("only one major of PostgreSQL is installed here")
    with embedded_cluster(newest, processes) as other:
        yard = make_yard(target=other.target())
        backup = yard.service.run("shop", "dump", "manual")
        document = yard.service.manifest(backup.id)
        assert yard.service.verify(backup.id).ok
    assert document is not None
    assert document["made"]["tool_major"] == newest.major
    assert document["source"]["server_version"].startswith(f"{newest.major}.")
