"""Dumps by a real pg_dump: what they hold, that they are of one moment, and how they fail."""

import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pyrage
import pytest

from shippyard.backup.compression import decompressed
from shippyard.backup.digest import take_again
from shippyard.backup.engines.dump_files import archive_name
from shippyard.backup.engines.engine import EngineFailed, Product
from shippyard.backup.engines.pg_dump import DumpEngine
from shippyard.backup.manifest import Content
from shippyard.backup.model import Kind
from shippyard.backup.verify import measured
from shippyard.config.models import Config
from shippyard.host.clock import SystemClock
from shippyard.host.process import Processes
from shippyard.postgres.embedded import EmbeddedCluster, embedded_cluster
from shippyard.postgres.session import QueryFailed
from shippyard.postgres.snapshot import snapshot_session
from shippyard.postgres.target import Target
from shippyard.postgres.tools import installed_tools, tools_for
from tests.conftest import Eventually
from tests.integration.backup.conftest import execute


class Bench:
    """An engine per call, over one target, and what it made."""

    def __init__(self, processes: Processes, target: Target, folder: Path) -> None:
        self.processes = processes
        self.target = target
        self.folder = folder
        self.made = 0

    def engine(self, kind: Kind = "dump", **settings: Any) -> DumpEngine:
        login = {"user": self.target.user}
        shop = {"name": "shop", "dbname": self.target.dbname, "monitor": login, "backup": login}
        backup = {"dir": self.folder / "backups", "timeout_s": 60, "lock_wait_timeout_s": 5}
        config = Config.model_validate(
            {
                "environment": "testing",
                "daemon": {"state_dir": self.folder / "state"},
                "backup": {**backup, **settings},
                "databases": [shop],
            }
        )
        return DumpEngine(kind, self.target, config, self.processes, SystemClock())

    def make(self, kind: Kind = "dump", **settings: Any) -> tuple[Path, Product]:
        engine = self.engine(kind, **settings)
        self.made += 1
        folder = self.folder / f"made{self.made}"
        folder.mkdir(mode=0o700)
        product = engine.make(folder, engine.preflight(), lambda _: None)
        assert engine.verify(folder, measured(folder))[1] == []
        for name, entry in product.hashes.items():
            assert entry == next(each for each in measured(folder) if each.name == name)
        return folder, product


@pytest.fixture
def bench(processes: Processes, shop: Target, tmp_path: Path) -> Bench:
    return Bench(processes, shop, tmp_path)


def names(folder: Path) -> list[str]:
    return [entry.name for entry in measured(folder)]


def content_of(product: Product) -> Content:
    assert product.content is not None
    return product.content


def restored_content(bench: Bench, folder: Path, content: Content, into: Target) -> Content:
    """What is in a database after the archive was restored into it."""
    execute(replace(into, dbname="postgres"), f"CREATE DATABASE {into.dbname}")
    archive = folder / (archive_name(names(folder)) or "none")
    if archive.is_file():
        with decompressed(archive) as stream:
            (folder.parent / "plain.dump").write_bytes(stream.read())
        archive = folder.parent / "plain.dump"
    tools = tools_for(bench.processes, 15 if archive.is_file() else 17)
    argv = [tools.path("pg_restore"), "--exit-on-error", *into.arguments(), str(archive)]
    done = bench.processes.run(argv, timeout_s=60, env=into.environment())
    assert done.returncode == 0, done.stderr
    try:
        return take_again(into, content, SystemClock(), timeout_s=60)
    finally:
        admin = replace(into, dbname="postgres")
        execute(admin, f"DROP DATABASE {into.dbname} WITH (FORCE)")


def test_a_dump_is_one_checksummed_frame_with_all_that_belongs_to_it(bench: Bench) -> None:
    folder, product = bench.make(dump={"format": "custom"})
    assert names(folder) == ["globals.sql", "schema.sql", "shop.dump.zst"]
    assert set(product.hashes) == {"globals.sql", "shop.dump.zst"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())
    assert "CREATE ROLE postgres" in (folder / "globals.sql").read_text()
    assert "CREATE TABLE public.users" in (folder / "schema.sql").read_text()
    content = content_of(product)
    rows = {table.name: table.rows for table in content.tables}
    assert rows == {"alembic_version": 1, "orders": 5000, "users": 2000}
    assert [(each.name, each.last_value) for each in content.sequences] == [("users_id_seq", 2000)]
    copy = replace(bench.target, dbname=f"{bench.target.dbname}_copy")
    found = restored_content(bench, folder, content, copy)
    assert (found.tables, found.sequences) == (content.tables, content.sequences)


@pytest.fixture(scope="module")
def able(processes: Processes) -> Iterator[EmbeddedCluster]:
    """A cluster whose pg_dump can zstd."""
    found = [tools for tools in installed_tools(processes, program="initdb") if tools.major == 17]
    with embedded_cluster(found[0], processes) as running:
        yield running


def test_a_program_that_can_writes_a_folder_with_several_jobs(
    processes: Processes, able: EmbeddedCluster, tmp_path: Path
) -> None:
    execute(able.target(), "CREATE DATABASE big")
    target = able.target("big")
    execute(
        target,
        "CREATE TABLE one AS SELECT n, md5(n::text) FROM generate_series(1, 20000) n",
        "CREATE TABLE two AS SELECT n, md5(n::text) FROM generate_series(1, 20000) n",
        "SELECT lo_from_bytea(0, 'a large object')",
    )
    bench = Bench(processes, target, tmp_path)
    folder, product = bench.make()
    assert "--jobs=2" in product.made.argv
    assert "--compress=zstd:3" in product.made.argv
    files = names(folder)
    assert archive_name(files) == "shop.dump"
    assert sum(name.endswith(".dat.zst") for name in files) >= 2
    modes = {path.stat().st_mode & 0o777 for path in (folder / "shop.dump").rglob("*")}
    assert modes == {0o600}
    content = content_of(product)
    found = restored_content(bench, folder, content, able.target("big_copy"))
    assert found.tables == content.tables


def test_a_schema_dump_is_definitions_alone(bench: Bench) -> None:
    folder, product = bench.make("schema")
    assert names(folder) == ["schema.sql"]
    assert product.content is None
    assert product.environment is not None
    assert "COPY" not in (folder / "schema.sql").read_text()


def test_two_schema_dumps_of_one_schema_are_equal(bench: Bench) -> None:
    first, product = bench.make("schema")
    second, _ = bench.make()
    assert (first / "schema.sql").read_bytes() == (second / "schema.sql").read_bytes()
    key = re.search(r"\\restrict (\w+)", (first / "schema.sql").read_text())
    assert key is not None
    assert not any(key.group(1) in argument for argument in product.made.argv)


def test_all_of_it_is_of_one_moment(bench: Bench) -> None:
    """Rows, definitions and digests, though somebody writes from the first to the last second."""
    stop = threading.Event()

    def write() -> None:
        with psycopg.connect(**bench.target.conninfo(), autocommit=True) as connection:
            while not stop.is_set():
                connection.execute("UPDATE orders SET buyer = 1 + buyer % 2000 WHERE id % 50 = 1")
                connection.execute("INSERT INTO users (email) VALUES (gen_random_uuid()::text)")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        folder, product = bench.make()
    finally:
        stop.set()
        writer.join()
    content = content_of(product)
    copy = replace(bench.target, dbname=f"{bench.target.dbname}_copy")
    found = restored_content(bench, folder, content, copy)
    assert found.tables == content.tables
    assert found.sequences[0].last_value >= content.sequences[0].last_value
    assert take_again(bench.target, content, SystemClock(), timeout_s=60).tables != content.tables


def test_the_manifests_facts_are_those_of_the_snapshot(bench: Bench) -> None:
    execute(
        bench.target,
        f"ALTER DATABASE {bench.target.dbname} SET app.jwt_secret = 'hunter2'",
        f"ALTER DATABASE {bench.target.dbname} SET work_mem = '8MB'",
    )
    _, product = bench.make()
    assert product.source.snapshot is not None
    assert product.source.alembic_revision == "0003"
    assert product.source.timeline == 1
    environment = product.environment
    assert environment is not None
    assert environment.role_settings[f"{bench.target.dbname}/"] == (
        "app.jwt_secret=[secret]",
        "work_mem=8MB",
    )
    assert "login" in environment.roles["postgres"]
    assert environment.settings["max_connections"] == "60"
    assert [each.name for each in environment.extensions] == ["plpgsql"]
    assert (environment.encoding, environment.collation) == ("UTF8", "C.UTF-8")


def test_role_passwords_are_only_kept_encrypted(bench: Bench) -> None:
    role = f"sworn_{bench.target.dbname}"
    execute(bench.target, f"CREATE ROLE {role} PASSWORD 'hunter2hunter2'")
    mine = pyrage.x25519.Identity.generate()
    recipients = [str(mine.to_public())]
    try:
        folder, _ = bench.make(dump={"role_passwords": True, "recipients": recipients})
        plain, _ = bench.make()
    finally:
        execute(bench.target, f"DROP ROLE {role}")
    assert "globals.sql" not in names(folder)
    opened = pyrage.decrypt((folder / "globals.sql.age").read_bytes(), [mine]).decode()
    verifier = re.search(rf"ALTER ROLE {role} .* PASSWORD '(SCRAM-SHA-256\$[^']+)'", opened)
    assert verifier is not None
    everything = b"".join(p.read_bytes() for p in folder.rglob("*") if p.is_file())
    assert verifier.group(1).encode() not in everything
    assert role in (plain / "globals.sql").read_text()
    assert "PASSWORD" not in (plain / "globals.sql").read_text()


@pytest.fixture
def poor(bench: Bench) -> Iterator[Bench]:
    role = f"poor_{bench.target.dbname}"
    execute(bench.target, f"CREATE ROLE {role} LOGIN")
    yield Bench(bench.processes, replace(bench.target, user=role), bench.folder)
    execute(bench.target, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_what_a_role_lacks_is_said_at_once_and_running_it_is_enough(
    poor: Bench, bench: Bench
) -> None:
    execute(bench.target, "ALTER TABLE users ENABLE ROW LEVEL SECURITY")
    recipient = str(pyrage.x25519.Identity.generate().to_public())
    settings = {"role_passwords": True, "recipients": [recipient]}
    with pytest.raises(EngineFailed, match="as a superuser run: ") as refused:
        poor.make(dump=settings)
    said = str(refused.value)
    assert "\n" not in said
    for lack in ("3 tables", "1 sequence", "1 large object", "row-level security", "verifiers"):
        assert lack in said
    execute(bench.target, *said.partition("as a superuser run: ")[2].split("; "))
    poor.make(dump=settings)


def test_the_schema_asks_for_fewer_rights(poor: Bench, bench: Bench) -> None:
    execute(
        bench.target,
        "ALTER TABLE users ENABLE ROW LEVEL SECURITY",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {poor.target.user}",
        f"GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO {poor.target.user}",
    )
    poor.make("schema")


def test_a_locked_table_ends_the_dump_in_time_and_is_named(bench: Bench) -> None:
    with psycopg.connect(**bench.target.conninfo()) as holder:
        holder.execute("LOCK TABLE orders")
        with pytest.raises(EngineFailed, match=r"table public\.orders: .*stayed locked; see who"):
            bench.make(lock_wait_timeout_s=0.2)
        with pytest.raises(EngineFailed, match=r"LOCK TABLE .*stayed locked; see who"):
            bench.make("schema", lock_wait_timeout_s=0.2)
    assert ours(bench) == 0


def ours(bench: Bench) -> int:
    """Sessions of ours that are left at the server."""
    question = """
        SELECT count(*) FROM pg_stat_activity
        WHERE application_name LIKE 'shippyard:%' AND datname = current_database()
    """
    with psycopg.connect(**bench.target.conninfo()) as connection:
        row = connection.execute(question).fetchone()
    assert row is not None
    return int(row[0])


def test_when_one_part_fails_the_others_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    def failing(*_: object, **__: object) -> Content:
        raise EngineFailed("the digest failed")

    monkeypatch.setattr("shippyard.backup.engines.pg_dump.read_content", failing)
    with pytest.raises(EngineFailed, match="the digest failed"):
        bench.make()
    monkeypatch.undo()
    with monkeypatch.context() as patched:
        patched.setattr("shippyard.backup.engines.dump_command.Commands.custom", _no_command)
        with pytest.raises(EngineFailed, match="exit status 7"):
            bench.make(dump={"format": "custom"})
    eventually(lambda: ours(bench) == 0)


def _no_command(_: object) -> list[str]:
    return ["/bin/sh", "-c", "exit 7"]


def test_who_must_stop_takes_everything_down(bench: Bench, eventually: Eventually) -> None:
    """What `on_size` raises, because a lock was lost for example, ends the work."""

    def lost(_: int) -> None:
        raise EngineFailed("the lock is gone")

    engine = bench.engine(dump={"format": "custom"})
    folder = bench.folder / "lost"
    folder.mkdir()
    with pytest.raises(EngineFailed, match="the lock is gone"):
        engine.make(folder, engine.preflight(), lost)
    eventually(lambda: ours(bench) == 0)


def test_a_query_does_not_outlive_its_client(bench: Bench, eventually: Eventually) -> None:
    with snapshot_session(bench.target, "digest", max_s=0.3) as held:
        assert held.is_watched()
        with pytest.raises(QueryFailed):
            held.query("SELECT pg_sleep(60)")
    eventually(lambda: ours(bench) == 0, timeout_s=5)


def test_too_little_time_is_said_by_the_setting_that_gives_more(bench: Bench) -> None:
    with psycopg.connect(**bench.target.conninfo()) as holder:
        holder.execute("LOCK TABLE orders")
        with pytest.raises(EngineFailed, match=r"0\.5 s; raise backup.dump.snapshot_max_s"):
            bench.make("schema", lock_wait_timeout_s=30, dump={"snapshot_max_s": 0.5})


@pytest.mark.parametrize("wanted", ["custom", "directory"])
def test_a_cut_archive_does_not_decode(bench: Bench, wanted: str) -> None:
    folder, _ = bench.make(dump={"format": wanted})
    archive = folder / (archive_name(names(folder)) or "none")
    file = archive if archive.is_file() else max(archive.iterdir(), key=_size)
    with file.open("r+b") as opened:
        opened.truncate(_size(file) // 2)
    [problem] = bench.engine().verify(folder, measured(folder))[1]
    assert problem.startswith(f"{archive.name} can't be decoded: ")


def _size(path: Path) -> int:
    return path.stat().st_size
