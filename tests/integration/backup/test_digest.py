"""Digests of real content: equal for equal rows on any major, different for anything else."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from shippyard.backup.digest import Mode, take_again, take_content
from shippyard.backup.manifest import Content
from shippyard.host.clock import SystemClock
from shippyard.host.process import Processes
from shippyard.postgres.embedded import EmbeddedCluster, embedded_cluster
from shippyard.postgres.session import QueryFailed
from shippyard.postgres.snapshot import snapshot_session
from shippyard.postgres.target import Target
from shippyard.postgres.tools import Tools, installed_tools
from tests.conftest import Eventually
from tests.integration.backup.conftest import execute

EVERYTHING = Path(__file__).with_name("everything.sql").read_text()
# What would change how values are written, were it not pinned.
HOSTILE = {
    "datestyle": "'SQL, DMY'",
    "timezone": "'Asia/Tokyo'",
    "intervalstyle": "iso_8601",
    "bytea_output": "escape",
    "extra_float_digits": "-3",
    "search_path": "s2, public",
    "quote_all_identifiers": "on",
}


def take(target: Target, mode: Mode = "all", **more: object) -> Content:
    settings = {"sample_rows": 100, "timeout_s": 60.0, **more}
    return take_content(target, SystemClock(), mode=mode, **settings)  # type: ignore[arg-type]  # names above


def digests(target: Target) -> dict[str, str | None]:
    return {table.name: table.digest for table in take(target).tables}


@pytest.fixture
def everything(fresh_database: Target) -> Target:
    execute(fresh_database, EVERYTHING)
    return fresh_database


@pytest.fixture(scope="module")
def newest(processes: Processes) -> Iterator[EmbeddedCluster]:
    """A cluster of the newest major that is installed."""
    servers = installed_tools(processes, program="initdb")
    with embedded_cluster(max(servers, key=lambda tools: tools.major), processes) as running:
        yield running


Restore = Callable[[Target, EmbeddedCluster], Target]


@pytest.fixture
def restore(processes: Processes, tmp_path: Path) -> Iterator[Restore]:
    """A copy of a database in a cluster, by a dump in plain SQL."""
    made: list[Target] = []

    def run(tools: Tools, program: str, target: Target, *arguments: str) -> None:
        argv = [tools.path(program), *target.arguments(), *arguments]
        done = processes.run(argv, timeout_s=60, env=target.environment())
        assert done.returncode == 0, done.stderr

    def restored(source: Target, cluster: EmbeddedCluster) -> Target:
        tools = max(installed_tools(processes), key=lambda each: each.major)
        copy = replace(cluster.target(), dbname=f"c_{uuid.uuid4().hex[:8]}")
        execute(cluster.target(), f"CREATE DATABASE {copy.dbname}")
        made.append(replace(cluster.target(), dbname=copy.dbname))
        file = tmp_path / f"{copy.dbname}.sql"
        run(tools, "pg_dump", source, f"--file={file}")
        text = file.read_text().replace("SET transaction_timeout = 0;", "")
        file.write_text(text)
        run(tools, "psql", copy, "--quiet", "--set=ON_ERROR_STOP=1", f"--file={file}")
        return copy

    yield restored
    for target in made:
        admin = replace(target, dbname="postgres")
        with psycopg.connect(**admin.conninfo(), autocommit=True) as connection:
            name = sql.Identifier(target.dbname)
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@pytest.mark.parametrize("mode", ["all", "sampled", "counts"])
def test_a_copy_in_any_major_has_the_same_digests(
    mode: Mode,
    everything: Target,
    cluster: EmbeddedCluster,
    newest: EmbeddedCluster,
    restore: Restore,
) -> None:
    before = take(everything, mode)
    for name, value in HOSTILE.items():
        execute(everything, f"ALTER DATABASE {everything.dbname} SET {name} = {value}")
    hostile = take(everything, mode)
    assert (hostile.tables, hostile.sequences) == (before.tables, before.sequences)
    for where in (cluster, newest):
        found = take_again(restore(everything, where), before, SystemClock(), timeout_s=60)
        assert found.tables == before.tables
        assert found.sequences == before.sequences


def test_what_has_no_rows_in_a_dump_is_left_out(everything: Target) -> None:
    content = take(everything)
    assert [f"{table.schema}.{table.name}" for table in content.tables] == [
        "public.We ird.{x}%s",
        "public.child",
        "public.dup",
        "public.everything",
        "public.no_column",
        "public.parent",
        "public.part1",
        "public.unlogged",
        "s2.t",
    ]
    rows = {table.name: table.rows for table in content.tables}
    assert (rows["parent"], rows["child"], rows["no_column"]) == (1, 1, 2)
    assert [(each.name, each.last_value) for each in content.sequences] == [
        ("everything_id_seq", 1002)
    ]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE s2.t SET a = 11 WHERE a = 10",
        "UPDATE s2.t SET b = NULL WHERE a = 10",
        "UPDATE s2.t SET b = '' WHERE a = 10",
        "UPDATE s2.t SET b = CASE a WHEN 1 THEN 'row 2' ELSE 'row 1' END WHERE a IN (1, 2)",
        "DELETE FROM s2.t WHERE a = 5",
        "INSERT INTO s2.t VALUES (3, 'row 3')",
        "INSERT INTO s2.t VALUES (3, 'row 3'), (3, 'row 3')",
        "DELETE FROM s2.t WHERE a = 3; INSERT INTO s2.t VALUES (4, 'row 4')",
    ],
)
def test_whatever_is_changed_shows(everything: Target, change: str) -> None:
    before = digests(everything)
    execute(everything, *change.split("; "))
    after = digests(everything)
    assert [name for name in before if before[name] != after[name]] == ["t"]


def test_the_order_of_rows_does_not_matter(everything: Target) -> None:
    before = digests(everything)
    execute(
        everything,
        "CREATE TABLE aside AS SELECT * FROM s2.t ORDER BY a DESC",
        "TRUNCATE s2.t",
        "INSERT INTO s2.t SELECT * FROM aside",
        "DROP TABLE aside",
    )
    assert digests(everything) == before


def test_a_sample_is_the_same_rows_again_whatever_is_configured_now(everything: Target) -> None:
    execute(everything, "ALTER TABLE everything DROP COLUMN tz")
    before = take(everything, "sampled", sample_rows=200)
    [large] = [table for table in before.tables if table.sampled]
    assert (large.name, large.rows) == ("everything", 1002)
    assert large.digest is not None
    assert large.digest.endswith("/6")
    execute(everything, "CREATE TABLE aside AS SELECT * FROM everything ORDER BY id DESC")
    execute(everything, "VACUUM FULL everything", "DROP TABLE aside")
    again = take_again(everything, before, SystemClock(), timeout_s=60)
    assert again.tables == before.tables
    execute(everything, "UPDATE everything SET t = t || '!'")
    assert take_again(everything, before, SystemClock(), timeout_s=60).tables != before.tables


def test_a_snapshot_hides_what_came_later(everything: Target) -> None:
    before = digests(everything)
    with snapshot_session(everything, "backup", max_s=30) as held:
        name = held.export()
        execute(everything, "DELETE FROM s2.t", "CREATE TABLE later (a int)")
        seen = take(everything, snapshot=name)
    assert {table.name: table.digest for table in seen.tables} == before
    assert digests(everything) != before
    with pytest.raises(QueryFailed, match="snapshot"):
        take(everything, snapshot=name)


def test_past_its_time_a_table_is_counted_only(everything: Target) -> None:
    """A clock that leaps: 70 s pass between two looks at it."""

    class Leaping(SystemClock):
        leaps = 0

        def monotonic(self) -> float:
            self.leaps += 1
            return self.leaps * 70.0

    content = take_content(everything, Leaping(), mode="all", sample_rows=1, timeout_s=300)
    [first, *_] = content.tables
    assert first.digest is not None
    counted = [table for table in content.tables if table.digest is None]
    assert counted
    assert all(table.rows for table in counted)
    assert len(content.tables) < 9  # there was no time even to count the last


def test_a_statement_that_takes_too_long_is_ended_and_the_next_goes_on(
    everything: Target,
) -> None:
    with snapshot_session(everything, "backup", max_s=30) as held:
        held.query("SELECT 1")
        with pytest.raises(QueryFailed, match="statement timeout"):
            held.attempt("SELECT pg_sleep(10)", timeout_s=0.1)
        assert held.attempt("SELECT 1 AS one", timeout_s=5) == [{"one": 1}]


def test_a_session_over_its_time_is_cut(everything: Target, eventually: Eventually) -> None:
    with snapshot_session(everything, "backup", max_s=0.2) as held:

        def is_cut() -> bool:
            try:
                held.query("SELECT 1")
            except QueryFailed:
                return True
            return False

        assert eventually(is_cut)


def test_a_locked_table_is_named(everything: Target) -> None:
    with psycopg.connect(**everything.conninfo()) as holder:
        holder.execute("LOCK TABLE s2.t")
        with pytest.raises(QueryFailed, match=r"table s2\.t: .*lock timeout"):
            take(everything, lock_timeout_s=0.1)


def test_rows_hidden_by_a_policy_are_an_error(everything: Target) -> None:
    role = f"poor_{everything.dbname}"
    execute(
        everything,
        f"CREATE ROLE {role} LOGIN",
        f"GRANT pg_read_all_data TO {role}",
        "ALTER TABLE s2.t ENABLE ROW LEVEL SECURITY",
    )
    try:
        with pytest.raises(QueryFailed, match="row-level security"):
            take(replace(everything, user=role))
    finally:
        execute(everything, f"DROP ROLE {role}")
