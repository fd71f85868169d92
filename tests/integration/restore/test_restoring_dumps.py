"""Dumps restored: whole, a table, a schema; refused where something is; ended in the middle."""

import os
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from shippyard.backup.compression import compress_file, decompressed
from shippyard.backup.manifest import Environment, FileEntry, Made, Manifest, Source, Verification
from shippyard.backup.restore import loading
from shippyard.backup.restore.archive import (
    Hands,
    RestoreBlocked,
    RestoreFailed,
    RestoreInterrupted,
)
from shippyard.backup.restore.contents import Selection
from shippyard.backup.restore.logical import Restored, restore_dump
from shippyard.backup.restore.place import TargetNotEmpty
from shippyard.host.clock import SystemClock
from shippyard.host.files import sha256_of
from shippyard.host.process import Processes
from shippyard.postgres.embedded import EmbeddedCluster
from shippyard.postgres.target import Target
from shippyard.postgres.tools import Tools, server_tools

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
MAKE = (
    "CREATE SCHEMA app",
    "CREATE TYPE app.mood AS ENUM ('good', 'bad')",
    "CREATE TABLE app.users (id serial PRIMARY KEY, email text UNIQUE, mood app.mood)",
    "CREATE INDEX ON app.users (mood)",
    "CREATE TABLE app.orders (id int PRIMARY KEY, buyer int REFERENCES app.users)",
    "CREATE TABLE app.log (id int, day date) PARTITION BY RANGE (day)",
    "CREATE TABLE app.log_1 PARTITION OF app.log FOR VALUES FROM ('2020-01-01') TO ('2021-01-01')",
    "CREATE INDEX ON app.log (id)",
    "CREATE VIEW app.happy AS SELECT * FROM app.users WHERE mood = 'good'",
    "CREATE FUNCTION app.f() RETURNS trigger LANGUAGE plpgsql AS 'begin return new; end'",
    "CREATE TRIGGER t BEFORE INSERT ON app.users FOR EACH ROW EXECUTE FUNCTION app.f()",
    "COMMENT ON COLUMN app.users.email IS 'where to write to'",
    "INSERT INTO app.users (email, mood) SELECT n || '@x', 'good' FROM generate_series(1, 500) n",
    "INSERT INTO app.orders SELECT n, n FROM generate_series(1, 400) n",
    "INSERT INTO app.log SELECT n, '2020-05-05' FROM generate_series(1, 300) n",
)

SLOW = (
    """CREATE FUNCTION app.slow(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ begin
       if pg_catalog.current_database() like 'r\\_%' then perform pg_catalog.pg_sleep(30); end if;
       return n; end $$""",
    "CREATE TABLE app.slowly AS SELECT 1 AS n",
    "CREATE INDEX ON app.slowly (app.slow(n))",
)

Restore = Callable[..., Restored]


def run(target: Target, *statements: str) -> None:
    with psycopg.connect(**target.conninfo(), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def ask(target: Target, question: str) -> Any:
    with psycopg.connect(**target.conninfo(), autocommit=True) as connection:
        row = connection.execute(question.encode()).fetchone()
        return row[0] if row else None


@pytest.fixture(scope="module")
def tools(processes: Processes) -> Tools:
    return server_tools(processes)


@pytest.fixture
def source(fresh_database: Target) -> Target:
    run(fresh_database, *MAKE)
    return fresh_database


@pytest.fixture
def elsewhere(cluster: EmbeddedCluster) -> Iterator[Target]:
    """A database that is not there yet."""
    name = f"r_{uuid.uuid4().hex[:12]}"
    yield replace(cluster.target(), dbname=name)
    with psycopg.connect(**cluster.target().conninfo(), autocommit=True) as connection:
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
        connection.execute(drop.format(sql.Identifier(name)))


@pytest.fixture(params=["seekable", "streamed"])
def shape(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How the dump is kept: so that pg_restore can jump about in it, or as large ones are."""
    monkeypatch.setattr(loading, "HEAD_BYTES", 2000)
    monkeypatch.setattr(loading, "HEAD_GROWS", 2)
    return str(request.param)


@pytest.fixture
def dump(source: Target, tools: Tools, processes: Processes, tmp_path: Path, shape: str) -> Path:
    folder = dump_of(source, tools, processes, tmp_path)
    if shape == "streamed":
        stream_it(folder)
    return folder


def stream_it(folder: Path) -> None:
    """One compressed stream, of which a beginning can't hold all."""
    compress_file(folder / "shop.dump", folder / "shop.dump.zst")
    (folder / "shop.dump").unlink()


def artifact(folder: Path) -> Path:
    """The archive's file."""
    return next(folder.glob("shop.dump*"))


@pytest.fixture
def slow(source: Target, tools: Tools, processes: Processes, tmp_path: Path, shape: str) -> Path:
    """A dump whose restore elsewhere takes half a minute for an index."""
    run(source, *SLOW)
    folder = dump_of(source, tools, processes, tmp_path)
    if shape == "streamed":
        stream_it(folder)
    return folder


def dump_of(source: Target, tools: Tools, processes: Processes, tmp_path: Path) -> Path:
    folder = tmp_path / "shop" / "20260304T050607Z-dump-1a2b3c"
    folder.mkdir(parents=True)
    argv = [tools.path("pg_dump"), "-Fc", "-Z0", f"--file={folder}/shop.dump", *source.arguments()]
    assert processes.run(argv, timeout_s=30).returncode == 0
    (folder / "globals.sql").write_text("CREATE ROLE postgres;\nALTER ROLE postgres NOLOGIN;\n")
    return folder


@pytest.fixture
def restore(processes: Processes, tools: Tools, dump: Path, tmp_path: Path) -> Restore:
    manifest = manifest_of(dump, tools.major)

    def do(into: Target, **arguments: Any) -> Restored:
        chosen = {"processes": processes, "manifest": manifest, **arguments}
        return restore_dump(dump, into=into, tools=tools, jobs=2, timeout_s=60, **chosen)

    return do


def manifest_of(folder: Path, major: int, **changes: Any) -> Manifest:
    files = tuple(
        FileEntry(file.name, file.stat().st_size, sha256_of(file))
        for file in sorted(folder.iterdir())
    )
    return Manifest(
        id=folder.name,
        database=folder.parent.name,
        kind="dump",
        reason="manual",
        held_by=None,
        started_at=NOW,
        finished_at=NOW,
        duration_s=1.0,
        source=Source("1", "17", "shop", None, None, 4),
        made=Made("pg_dump", major, ()),
        files=files,
        verification=Verification("sha256", NOW, 0.1),
        **changes,
    )


def test_all_of_it_comes_back_in_a_database_that_is_made(
    restore: Restore, elsewhere: Target
) -> None:
    said: list[dict[str, Any]] = []
    done = restore(elsewhere, progress=lambda fields: said.append(dict(fields)))
    assert done.made_database
    assert ask(elsewhere, "SELECT count(*) FROM app.happy") == 500
    assert ask(elsewhere, "SELECT count(*) FROM app.log") == 300
    assert "roles left as they were: postgres" in done.notes
    assert {"checking", "globals"} <= {fields["phase"] for fields in said}


def test_what_was_in_a_tablespace_that_is_not_there_goes_to_the_default_one(
    source: Target,
    elsewhere: Target,
    cluster: EmbeddedCluster,
    processes: Processes,
    tmp_path: Path,
) -> None:
    tools = server_tools(processes)
    place = cluster.data_dir.parent / f"space-{uuid.uuid4().hex[:8]}"
    place.mkdir()
    if os.geteuid() == 0:
        shutil.chown(place, cluster.data_dir.owner())
    run(source, f"CREATE TABLESPACE t_slow LOCATION '{place}'")
    run(source, "CREATE TABLE app.far (i int) TABLESPACE t_slow", "INSERT INTO app.far VALUES (7)")
    folder = dump_of(source, tools, processes, tmp_path)
    run(source, "DROP TABLE app.far", "DROP TABLESPACE t_slow")
    around = Environment(tablespaces={"t_slow": str(place)})
    manifest = manifest_of(folder, tools.major, environment=around)
    done = restore_dump(
        folder, manifest, elsewhere, processes=processes, tools=tools, jobs=2, timeout_s=60
    )
    assert "all is in the default tablespace: there is no t_slow" in done.notes
    assert ask(elsewhere, "SELECT i FROM app.far") == 7


def test_what_fails_on_its_way_aside_says_that_the_target_is_as_it_was(
    restore: Restore, source: Target
) -> None:
    run(source, "CREATE ROLE t_narrow LOGIN CREATEDB", "GRANT USAGE ON SCHEMA app TO t_narrow")
    try:
        only = Selection("app", "orders", "before")
        with pytest.raises(RestoreFailed, match="the target is as it was") as caught:
            restore(replace(source, user="t_narrow"), only=only, with_globals=False)
        assert "drop it" not in str(caught.value)
        assert 'as a superuser run: ALTER ROLE "t_narrow" SUPERUSER; then' in str(caught.value)
    finally:
        run(source, "DROP OWNED BY t_narrow", "DROP ROLE t_narrow")


def test_a_database_with_something_in_it_is_refused(restore: Restore, source: Target) -> None:
    before = ask(source, "SELECT count(*) FROM app.orders")
    with pytest.raises(TargetNotEmpty, match=r"table app\.log.*--dbname"):
        restore(source)
    assert ask(source, "SELECT count(*) FROM app.orders") == before


def test_of_a_stream_only_the_beginning_is_unpacked(
    dump: Path, tools: Tools, processes: Processes, source: Target, tmp_path: Path
) -> None:
    hands = Hands(processes, tools, source, SystemClock())
    with loading.opened(hands, artifact(dump), tmp_path) as archive:
        whole = source_size(artifact(dump))
        if archive.stream is None:
            assert artifact(dump).suffix == ".dump"
        else:
            assert archive.file.stat().st_size < whole


def source_size(file: Path) -> int:
    """Bytes of an archive when nothing compresses it."""
    if file.suffix == ".dump":
        return file.stat().st_size
    with decompressed(file) as stream:
        return len(stream.read())


def test_an_empty_database_that_is_there_is_filled(
    restore: Restore, elsewhere: Target, cluster: EmbeddedCluster
) -> None:
    run(cluster.target(), f"CREATE DATABASE {elsewhere.dbname}")
    assert not restore(elsewhere).made_database
    assert ask(elsewhere, "SELECT count(*) FROM app.orders") == 400


def test_a_dropped_table_comes_back_with_all_that_is_its_own(
    restore: Restore, source: Target
) -> None:
    run(source, "DROP TABLE app.users CASCADE")
    done = restore(source, only=Selection("app", "users"))
    assert ask(source, "SELECT count(*) FROM app.users") == 500
    assert ask(source, "SELECT count(*) FROM pg_indexes WHERE tablename = 'users'") == 3
    assert ask(source, "SELECT nextval('app.users_id_seq')") == 501
    assert ask(source, "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'app.users'::regclass") == 1
    notes = "\n".join(done.notes)
    assert "views on it were not restored: VIEW app happy" in notes
    key = next(note for note in done.notes if "foreign key" in note).partition("yourself: ")[2]
    run(source, key)
    assert ask(source, "SELECT count(*) FROM pg_constraint WHERE contype = 'f'") == 1


def test_a_table_goes_beside_the_one_that_is_there(restore: Restore, source: Target) -> None:
    with pytest.raises(TargetNotEmpty, match="--into-schema app_restored"):
        restore(source, only=Selection("app", "users"))
    run(source, "UPDATE app.users SET mood = 'bad'")
    restore(source, only=Selection("app", "users", into_schema="app_restored"))
    assert ask(source, "SELECT count(*) FROM app_restored.users WHERE mood = 'good'") == 500
    assert ask(source, "SELECT count(*) FROM app.users WHERE mood = 'bad'") == 500
    leftover = "SELECT count(*) FROM pg_database WHERE datname LIKE 'shippyard_restore%'"
    assert ask(source, leftover) == 0


def test_a_partitioned_table_comes_with_its_partitions(restore: Restore, elsewhere: Target) -> None:
    restore(elsewhere, only=Selection("app", "log"))
    assert ask(elsewhere, "SELECT count(*) FROM app.log") == 300
    assert ask(elsewhere, "SELECT count(*) FROM pg_class WHERE relname = 'users'") == 0


def test_a_schema_comes_back_whole(restore: Restore, source: Target) -> None:
    run(source, "DROP SCHEMA app CASCADE", "CREATE TABLE public.other (id int)")
    restore(source, only=Selection("app"))
    assert ask(source, "SELECT count(*) FROM app.happy") == 500
    assert ask(source, "SELECT count(*) FROM pg_constraint WHERE contype = 'f'") == 1


def test_a_table_that_is_not_in_it_is_said_and_nothing_made(
    restore: Restore, elsewhere: Target, source: Target, dump: Path, tools: Tools
) -> None:
    (dump / "globals.sql").write_text("CREATE ROLE t_never;\n")
    changed = manifest_of(dump, tools.major)
    with pytest.raises(RestoreBlocked, match=r"app\.user is not in this backup; it has app\.log"):
        restore(elsewhere, only=Selection("app", "user"), manifest=changed)
    made = f"SELECT count(*) FROM pg_database WHERE datname = '{elsewhere.dbname}'"
    assert ask(source, made) == 0
    assert ask(source, "SELECT count(*) FROM pg_roles WHERE rolname = 't_never'") == 0


def test_a_file_that_changed_is_refused_before_anything_is_made(
    restore: Restore, elsewhere: Target, dump: Path, source: Target
) -> None:
    data = bytearray(artifact(dump).read_bytes())
    data[len(data) // 2] ^= 1
    artifact(dump).write_bytes(data)
    with pytest.raises(RestoreFailed, match="differs from its manifest"):
        restore(elsewhere)
    made = f"SELECT count(*) FROM pg_database WHERE datname = '{elsewhere.dbname}'"
    assert ask(source, made) == 0


def test_an_end_in_the_middle_says_what_is_left_and_leaves_no_session(
    processes: Processes, elsewhere: Target, slow: Path, source: Target, tools: Tools
) -> None:
    folder = slow
    mine = Processes()

    def once_it_builds(fields: Any) -> None:
        sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX%slow%'"
        if fields["phase"] == "restoring" and ask(source, sleeping):
            threading.Thread(target=mine.end_all).start()

    with pytest.raises(RestoreInterrupted, match=r"was made and is not whole; drop it: DROP"):
        restore_dump(
            folder,
            manifest_of(folder, tools.major),
            elsewhere,
            processes=mine,
            tools=tools,
            jobs=2,
            timeout_s=60,
            progress=once_it_builds,
        )
    left = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{elsewhere.dbname}'"
    assert ask(source, left) == 0


def test_an_index_that_takes_too_long_ends_at_the_deadline(
    processes: Processes, elsewhere: Target, slow: Path, tools: Tools
) -> None:
    folder = slow
    with pytest.raises(RestoreFailed, match=r"ended after [12].* s.*DROP DATABASE"):
        restore_dump(
            folder,
            manifest_of(folder, tools.major),
            elsewhere,
            processes=processes,
            tools=tools,
            jobs=2,
            timeout_s=2,
        )


def test_settings_of_the_database_come_with_it(
    restore: Restore, elsewhere: Target, dump: Path, tools: Tools
) -> None:
    environment = Environment(role_settings={"shop/": ("work_mem=7MB", "search_path=app, public")})
    restore(elsewhere, manifest=manifest_of(dump, tools.major, environment=environment))
    assert ask(elsewhere, "SHOW work_mem") == "7MB"
    assert ask(elsewhere, "SHOW search_path") == "app, public"


def test_a_script_of_the_schema_is_run_whole(
    processes: Processes, source: Target, elsewhere: Target, tools: Tools, tmp_path: Path
) -> None:
    folder = tmp_path / "shop" / "20260304T050607Z-schema-1a2b3c"
    folder.mkdir(parents=True)
    argv = [tools.path("pg_dump"), "-s", f"--file={folder}/schema.sql", *source.arguments()]
    assert processes.run(argv, timeout_s=30).returncode == 0
    manifest = replace(manifest_of(folder, tools.major), kind="schema")
    restore_dump(
        folder, manifest, elsewhere, processes=processes, tools=tools, jobs=1, timeout_s=30
    )
    assert ask(elsewhere, "SELECT count(*) FROM app.users") == 0
