"""What gates read is seen on a real server: snapshots, prepared transactions, slots, indexes."""

from collections.abc import Iterator, Sequence

import pytest

from shippyard.config.models import Database, Health, Login
from shippyard.health.evaluate import evaluate
from shippyard.health.live import BY_THEMSELVES, NEEDED, Facts, LiveHealth, place_of
from shippyard.health.loader import load_checks
from shippyard.health.model import Finding, Row
from shippyard.host.clock import SystemClock
from shippyard.host.process import Processes
from shippyard.postgres.embedded import embedded_cluster
from shippyard.postgres.session import session
from shippyard.postgres.target import Target
from shippyard.postgres.tools import server_tools
from tests.conftest import Eventually
from tests.integration.health.conftest import connect, watcher_of

CHECKS = {check.name: check for check in load_checks(Health())}
SETTINGS = {
    "max_prepared_transactions": "4",
    "archive_mode": "on",
    "archive_command": "false",
    "wal_level": "logical",
    "autovacuum_freeze_max_age": "100000",
    "autovacuum_naptime": "1s",
}


@pytest.fixture(scope="module")
def server(processes: Processes) -> Iterator[Target]:
    """A server with two-phase commit, and an archive that takes nothing."""
    with embedded_cluster(server_tools(processes), processes, SETTINGS) as running:
        with connect(running.target()) as admin:
            admin.execute("CREATE DATABASE shop_db")
        yield running.target("shop_db")


def rows_of(server: Target, name: str, **params: float) -> Sequence[Row]:
    """What the monitor is told, in the check's own database."""
    check = CHECKS[name]
    with session(watcher_of(server), "test") as opened:
        return opened.query(
            check.sql_for(opened.server_version),
            {**check.params, **params},
            timeout_s=check.timeout_s,
        )


def finding(server: Target, name: str) -> Finding | None:
    return evaluate(CHECKS[name], rows_of(server, name), {"database": "shop"}).finding


def facts_of(server: Target) -> Facts:
    """Everything that is polled, as a gate has it."""
    role = Login(user="watcher")
    database = Database(
        name="shop", host=server.host, dbname=server.dbname, monitor=role, backup=role
    )
    live = LiveHealth([database], SystemClock())
    for name in (*NEEDED, *BY_THEMSELVES):
        live.record(place_of(database, CHECKS[name].scope), name, rows_of(server, name))
    found = live.facts("shop")
    assert found is not None
    return found


def test_a_quiet_server_has_nothing_in_the_way(server: Target) -> None:
    facts = facts_of(server)
    assert (facts.oldest_snapshot_s, facts.oldest_prepared_s) == (0.0, 0.0)
    assert (facts.freeze_vacuums, facts.idle_slots, facts.spare_indexes) == ((), (), {})
    assert facts.disk_free_bytes is not None
    assert facts.disk_free_bytes > 0


def test_a_snapshot_is_seen_and_an_open_transaction_without_one_is_not(server: Target) -> None:
    with connect(server) as holder:
        holder.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
        holder.execute("SELECT 1")
        assert not [row for row in rows_of(server, "xmin_holders") if row["kind"] == "session"]
        holder.execute("COMMIT")
        holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        holder.execute("SELECT 1")
        (row,) = [row for row in rows_of(server, "xmin_holders") if row["kind"] == "session"]
        assert (row["datname"], row["held_s"] > 0) == ("shop_db", True)
        snapshot_s = facts_of(server).oldest_snapshot_s
        assert snapshot_s is not None
        assert snapshot_s > 0


def test_a_prepared_transaction_is_seen_with_its_name(server: Target) -> None:
    with connect(server) as admin:
        admin.execute("CREATE TABLE ledger (id int)")
        admin.execute("BEGIN")
        admin.execute("INSERT INTO ledger VALUES (1)")
        admin.execute("PREPARE TRANSACTION 'transfer-7'")
        (row,) = [row for row in rows_of(server, "prepared_xacts") if row["prepared"]]
        prepared_s = facts_of(server).oldest_prepared_s
        admin.execute("ROLLBACK PREPARED 'transfer-7'")
    assert (row["datname"], row["oldest_gid"]) == ("shop_db", "transfer-7")
    assert prepared_s is not None
    assert prepared_s > 0


def test_a_slot_without_a_receiver_is_seen(server: Target) -> None:
    with connect(server) as admin:
        admin.execute("SELECT pg_create_physical_replication_slot('forgotten', true)")
        try:
            (row,) = rows_of(server, "replication_slots")
            idle = facts_of(server).idle_slots
        finally:
            admin.execute("SELECT pg_drop_replication_slot('forgotten')")
    assert (row["slot_name"], row["active"], row["lost"]) == ("forgotten", False, False)
    assert row["retained_bytes"] >= 0
    assert idle == ("forgotten",)


def test_wal_that_waits_for_its_archive_is_seen(server: Target) -> None:
    with connect(server) as admin:
        admin.execute("CREATE TABLE IF NOT EXISTS heap (id int)")
        admin.execute("INSERT INTO heap VALUES (1)")
        admin.execute("SELECT pg_switch_wal()")
    (row,) = rows_of(server, "archiver_backlog")
    assert row["archiving"]
    assert row["ready_files"] >= 1


def test_indexes_that_are_spare_or_invalid_are_named(server: Target) -> None:
    with connect(server) as admin:
        admin.execute("CREATE TABLE people (id int PRIMARY KEY, name text, town text)")
        admin.execute("INSERT INTO people SELECT n, n, n FROM generate_series(1, 500) AS n")
        admin.execute("CREATE INDEX people_name ON people (name)")
        admin.execute("CREATE INDEX people_name_again ON people (name)")
        admin.execute("CREATE INDEX people_town ON people (town) WHERE town <> ''")
        admin.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'people_town'::regclass"
        )
        admin.execute("ANALYZE people")
    (twins,) = rows_of(server, "indexes_duplicate")
    assert (twins["relation"], twins["copies"]) == ("public.people", 2)
    assert twins["index_names"] == "people_name, people_name_again"
    unused = rows_of(server, "indexes_unused", min_pages=1, min_stats_age_s=0)
    assert {row["index_name"] for row in unused} == {
        "public.people_name",
        "public.people_name_again",
    }
    told = finding(server, "indexes_invalid")
    assert told is not None
    assert "DROP INDEX CONCURRENTLY public.people_town" in told.summary
    assert facts_of(server).spare_indexes == {
        "public.people": ("people_name, people_name_again (the same)",)
    }


def test_an_autovacuum_names_its_table(server: Target, eventually: Eventually) -> None:
    with connect(server) as admin:
        admin.execute(
            "CREATE TABLE busy (id int) WITH (autovacuum_vacuum_cost_delay = 100,"
            " autovacuum_vacuum_cost_limit = 1, autovacuum_vacuum_insert_threshold = 1)"
        )
        admin.execute("INSERT INTO busy SELECT generate_series(1, 100000)")
        eventually(lambda: "public.busy" in (facts_of(server).autovacuums or {}))
        assert "public.busy" not in (facts_of(server).freeze_vacuums or ())


def test_an_autovacuum_to_prevent_wraparound_names_its_table(
    server: Target, eventually: Eventually
) -> None:
    with connect(server) as admin:
        admin.execute("CREATE TABLE old (id int) WITH (autovacuum_vacuum_cost_delay = 100)")
        admin.execute("ALTER TABLE old SET (autovacuum_vacuum_cost_limit = 1)")
        admin.execute("INSERT INTO old SELECT generate_series(1, 100000)")
        spend = "FOR n IN 1..100100 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP;"
        admin.execute(f"DO $$ BEGIN {spend} END $$".encode())
        eventually(lambda: "public.old" in (facts_of(server).freeze_vacuums or ()))
