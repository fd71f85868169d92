"""Sequences, sizes and bloat, on a real server."""

from collections.abc import Sequence

import pytest

from shippyard.config.models import Health
from shippyard.health.evaluate import evaluate
from shippyard.health.loader import load_checks
from shippyard.health.model import Finding, Row
from shippyard.postgres.session import session
from shippyard.postgres.target import Target
from tests.integration.health.conftest import WATCHER, connect, watcher_of

CHECKS = {check.name: check for check in load_checks(Health())}

SEQUENCES = f"""
    CREATE TABLE orders (id serial PRIMARY KEY, big bigserial, fed int);
    CREATE SEQUENCE feeds OWNED BY orders.fed;
    CREATE SEQUENCE falls INCREMENT -1 MINVALUE -100 MAXVALUE -1;
    CREATE SEQUENCE turns MAXVALUE 100 CYCLE;
    CREATE SEQUENCE fresh;
    CREATE SEQUENCE hidden;
    SELECT setval('orders_id_seq', 2000000000), setval('orders_big_seq', 2000000000),
           setval('feeds', 1700000000), setval('falls', -95), setval('turns', 99);
    GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO {WATCHER};
    REVOKE SELECT ON SEQUENCE hidden FROM {WATCHER}
"""


def ask(target: Target, name: str, **params: float) -> Sequence[Row]:
    """What the monitor is told."""
    check = CHECKS[name]
    with session(watcher_of(target), "test") as opened:
        return opened.query(
            check.sql_for(opened.server_version),
            {**check.params, **params},
            timeout_s=check.timeout_s,
        )


def found(name: str, rows: Sequence[Row]) -> Finding | None:
    return evaluate(CHECKS[name], rows, {"database": "shop"}).finding


@pytest.fixture
def sequences(fresh_database: Target) -> Target:
    watcher_of(fresh_database)
    with connect(fresh_database) as admin:
        admin.execute(SEQUENCES.encode())
    return fresh_database


def test_a_sequence_ends_where_its_column_does(sequences: Target) -> None:
    rows = ask(sequences, "sequences")
    used = {row["relation"]: round(row["used_ratio"], 2) for row in rows if row["relation"]}
    assert used == {
        "public.falls": 0.95,
        "public.orders_id_seq": 0.93,
        "public.feeds": 0.79,
        "public.orders_big_seq": 0.0,
    }
    assert [row["unread"] for row in rows if row["relation"] is None] == [1]
    high = found("sequences", rows)
    assert high is not None
    assert "public.falls has used 95% of its values (now -95)" in high.summary


def test_those_about_to_end_page(sequences: Target) -> None:
    ending = ask(sequences, "sequences_ending")
    assert [row["relation"] for row in ending] == ["public.falls", "public.orders_id_seq"]
    assert found("sequences_ending", ending) is not None
    assert found("sequences_ending", ask(sequences, "sequences_ending", end_ratio=0.99)) is None


def test_a_sequence_that_ddl_holds_is_not_waited_for(sequences: Target) -> None:
    with connect(sequences) as holder:
        holder.execute("BEGIN")
        holder.execute("DROP SEQUENCE falls")
        holder.execute("ALTER TABLE orders ADD COLUMN more int")
        left = {row["relation"] for row in ask(sequences, "sequences")}
    assert "public.falls" not in left
    assert "public.orders_id_seq" in left


def test_a_table_that_is_mostly_room_is_told(fresh_database: Target) -> None:
    watcher_of(fresh_database)
    with connect(fresh_database) as admin:
        admin.execute(
            "CREATE TABLE orders AS SELECT n AS id, repeat('x', 200) AS note"
            " FROM generate_series(1, 20000) n"
        )
        admin.execute("CREATE TABLE secret AS SELECT * FROM orders")
        admin.execute("DELETE FROM orders WHERE id % 4 <> 0")
        admin.execute("VACUUM (ANALYZE, TRUNCATE off) orders, secret")
        admin.execute(f"GRANT SELECT ON orders TO {WATCHER}")
    rows = ask(fresh_database, "table_bloat_estimate", min_pages=100)
    assert [(row["relation"], row["unjudged"]) for row in rows] == [
        ("public.orders", None),
        (None, 1),
    ]
    assert rows[0]["bloat_ratio"] == pytest.approx(0.75, abs=0.05)
    bloated = found("table_bloat_estimate", rows)
    assert bloated is not None
    assert "public.orders is" in bloated.summary


def test_sizes_are_the_servers_own(fresh_database: Target) -> None:
    with connect(fresh_database) as admin:
        row = admin.execute("SELECT pg_database_size(current_database())").fetchone()
    assert row is not None
    sizes = {row["datname"]: row["size_bytes"] for row in ask(fresh_database, "database_size")}
    assert sizes[fresh_database.dbname] == pytest.approx(row[0], rel=0.05)
