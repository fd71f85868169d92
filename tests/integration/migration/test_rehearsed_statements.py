"""Production's heaviest statements, read from a real server and timed again, never writing."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import psycopg
import pytest

from shippyard.host.process import Processes
from shippyard.migration.rehearsal import statements
from shippyard.migration.rehearsal.statements import (
    Asked,
    Timed,
    slower,
    time_statements,
    top_statements,
)
from shippyard.postgres.embedded import embedded_cluster
from shippyard.postgres.target import Target
from shippyard.postgres.tools import ToolsMissing, server_tools, tools_for

SETTINGS = {"shared_preload_libraries": "pg_stat_statements", "track_io_timing": "on"}


@pytest.fixture(scope="module", params=[None, 17])
def shop(processes: Processes, request: pytest.FixtureRequest) -> Iterator[Target]:
    """A server that counts statements; PostgreSQL plans them in another manner since 16."""
    try:
        tools = tools_for(processes, request.param) if request.param else server_tools(processes)
    except ToolsMissing as error:
        pytest.skip(str(error))
    with embedded_cluster(tools, processes, SETTINGS) as cluster:
        target = cluster.target()
        do(
            target,
            "CREATE EXTENSION pg_stat_statements",
            "CREATE TABLE goods AS SELECT n AS id, md5(n::text) AS name"
            " FROM generate_series(1, 60000) AS n",
            "CREATE INDEX goods_id ON goods (id)",
            "CREATE TABLE counted (n int)",
            "CREATE FUNCTION count_up() RETURNS int LANGUAGE sql"
            " AS 'INSERT INTO counted VALUES (1) RETURNING n'",
            "ANALYZE",
        )
        yield target


def do(target: Target, *texts: str) -> None:
    with psycopg.connect(**target.conninfo(), autocommit=True) as connection:
        for text in texts:
            connection.execute(text.encode())


def asked(text: str) -> Asked:
    return Asked(text, "postgres", 9, 1.0)


def test_the_heaviest_are_read_without_their_values(shop: Target) -> None:
    do(
        shop,
        "SELECT pg_stat_statements_reset()",
        "/* shop * web */ -- of the list\n SELECT name FROM goods WHERE id = 5",
        "UPDATE goods SET name = 'x' WHERE id = 7",
        "SELECT 1 FROM pg_catalog.pg_class LIMIT 1",
        "CREATE TABLE passing ()",
        "DROP TABLE passing",
    )
    found = top_statements(shop)
    assert {each.text.rpartition("\n")[2].strip() for each in found} == {
        "SELECT name FROM goods WHERE id = $1",
        "UPDATE goods SET name = $1 WHERE id = $2",
    }
    assert {(each.role, each.calls) for each in found} == {(shop.user, 1)}


def test_without_the_extension_there_are_none(fresh_database: Target) -> None:
    assert top_statements(fresh_database) == ()
    assert top_statements(replace(fresh_database, dbname="nowhere")) == ()


def test_statements_without_values_are_planned_and_those_that_only_read_are_run(
    shop: Target,
) -> None:
    planned, updated, run, commented = found = [
        asked("SELECT name FROM goods WHERE id = $1"),
        asked("UPDATE goods SET name = $2 WHERE id = $1"),
        asked("SELECT count(*) FROM goods"),
        asked("/* who */ SELECT max(name) FROM goods"),
    ]
    timed = time_statements(lambda _: shop, found, seconds=30)
    assert [each.error for each in timed.values()] == [None] * 4
    assert timed[planned].elapsed_ms is None
    assert timed[planned].scans == frozenset()
    assert timed[updated].elapsed_ms is None
    assert timed[run].elapsed_ms
    assert timed[commented].elapsed_ms


def test_nothing_is_written_and_what_would_write_is_planned_alone(shop: Target) -> None:
    writing = [asked("SELECT count_up()"), asked("DELETE FROM counted"), asked("VALUES (1)")]
    do(shop, "INSERT INTO counted VALUES (5)")
    timed = time_statements(lambda _: shop, writing, seconds=30)
    assert [each.error for each in timed.values()] == [None] * 3
    assert timed[writing[0]].elapsed_ms is None
    assert timed[writing[0]].cost is not None
    with psycopg.connect(**shop.conninfo()) as connection:
        assert connection.execute("SELECT n FROM counted").fetchall() == [(5,)]
    do(shop, "TRUNCATE counted")


def test_one_that_is_stopped_is_slow_and_does_run(
    shop: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statements, "STATEMENT_MAX_S", 0.5)
    waits = asked("SELECT wait()")

    def timed(waits_s: float) -> Mapping[Asked, Timed]:
        body = f"BEGIN PERFORM pg_sleep({waits_s}); RETURN ''; END"
        do(shop, f"CREATE OR REPLACE FUNCTION wait() RETURNS text LANGUAGE plpgsql AS $${body}$$")
        return time_statements(lambda _: shop, [waits], seconds=30)

    before, after = timed(0.01), timed(60)
    (line,) = slower(before, after)
    assert "500 ms, not 1" in line
    do(shop, "DROP FUNCTION wait()")
    (line,) = slower(before, time_statements(lambda _: shop, [waits], seconds=30))
    assert "it runs no more: function wait() does not exist" in line


def test_without_time_none_is_timed(shop: Target) -> None:
    assert time_statements(lambda _: shop, [asked("SELECT 1")], seconds=0) == {}
