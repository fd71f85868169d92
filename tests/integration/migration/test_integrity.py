"""Damage beside the plan is found; what the plan says, and what others write, is none."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from shippyard.migration.integrity import Integrity, compare, expected_of, take
from shippyard.migration.plan import Plan, Rendered
from shippyard.migration.wrote import Counts, Wrote
from shippyard.postgres.target import Target

SETUP = """
CREATE TABLE people (id serial PRIMARY KEY, name text NOT NULL, email text);
INSERT INTO people (name, email) SELECT 'n' || n, n || '@x' FROM generate_series(1, 200) AS n;
ALTER TABLE people ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON people USING (true);
CREATE TABLE loose (what text);
INSERT INTO loose VALUES ('a'), ('b');
CREATE TABLE alembic_version (version_num varchar(32));
INSERT INTO alembic_version VALUES ('001');
"""


@pytest.fixture
def shop(fresh_database: Target) -> Target:
    with psycopg.connect(**fresh_database.conninfo(), autocommit=True) as opened:
        opened.execute(SETUP)
    return fresh_database


def plan_of(sql: str, unrendered: str | None = None) -> Plan:
    return Plan("shop", "001", "002", ("002",), (), {}, {"002": Rendered(sql, unrendered)})


def judged(
    target: Target,
    plan: Plan,
    run: str,
    others: Callable[[psycopg.Connection[Any]], None] = lambda _: None,
) -> Integrity:
    """What is said after `run` was executed in one transaction, and others did theirs."""
    before = take(target, plan, timeout_s=20)
    with psycopg.connect(**target.conninfo()) as opened:
        opened.execute("UPDATE alembic_version SET version_num = '002'")
        opened.execute(run.encode())
        counts = opened.execute(
            "SELECT schemaname || '.' || relname, n_tup_ins, n_tup_upd, n_tup_del"
            " FROM pg_stat_xact_user_tables"
        ).fetchall()
        xid = opened.execute("SELECT pg_current_xact_id()::xid::text").fetchone()
    assert xid is not None
    with psycopg.connect(**target.conninfo(), autocommit=True) as other:
        others(other)
    wrote = Wrote((xid[0],), {name: Counts(*rest) for name, *rest in counts})
    after = take(target, plan, timeout_s=20, before=before)
    return compare(before, after, expected_of(plan, ["002"], wrote))


@pytest.mark.parametrize(
    ("said", "done", "finding"),
    [
        ("", "DELETE FROM people WHERE id = 3", "the run deleted 1 rows"),
        ("", "TRUNCATE people", "200 of 200 rows"),
        ("", "UPDATE people SET email = 'x' WHERE id < 9", "people.email: 8 of 200"),
        ("UPDATE people SET name = 'x'", "UPDATE people SET name = 'x', email = 'y'", "email: 200"),
        ("", "DROP POLICY own ON people", "policy public.people.own is gone"),
        ("ALTER TABLE people DISABLE ROW LEVEL SECURITY", "", "ROW LEVEL SECURITY"),
        ("", "SELECT setval('people_id_seq', 5)", "people_id_seq went back"),
        ("", "GRANT SELECT ON people TO PUBLIC", "rights of table public.people to PUBLIC"),
        ("", "ALTER TABLE people DROP COLUMN email", "column public.people.email is gone"),
        ("", "UPDATE alembic_version SET version_num = '009'", "alembic_version is 009"),
        ("", "DELETE FROM loose", "the run deleted 2 rows"),
        ("", "CREATE POLICY open ON people USING (true)", "policy public.people.open is new"),
    ],
)
def test_damage_is_found(shop: Target, said: str, done: str, finding: str) -> None:
    got = judged(shop, plan_of(said), done or said)
    assert got.verdict == "damaged"
    assert any(finding in each for each in got.findings), got.findings


@pytest.mark.parametrize(
    "said",
    [
        "ALTER TABLE people ADD COLUMN tier text DEFAULT 'x'",
        "DELETE FROM people WHERE id = 3",
        "UPDATE people SET email = lower(name)",
        "DROP POLICY own ON people",
        "ALTER TABLE people RENAME COLUMN email TO mail",
        "ALTER TABLE people RENAME TO persons",
        "ALTER TABLE people ALTER COLUMN name TYPE varchar(50)",
        "ALTER TABLE people ADD CONSTRAINT long CHECK (length(name) > 0) NOT VALID",
        "DROP TABLE loose",
        "ALTER TABLE people DROP COLUMN email",
        "CREATE TABLE people_new (LIKE people INCLUDING ALL); DROP TABLE people_new",
    ],
)
def test_what_the_plan_says_is_no_damage(shop: Target, said: str) -> None:
    got = judged(shop, plan_of(said), said)
    assert (got.verdict, got.findings) == ("ok", ())
    assert got.looked.get("public.people", 200) == 200


def test_what_others_write_is_theirs(shop: Target) -> None:
    def others(other: psycopg.Connection[Any]) -> None:
        other.execute("UPDATE people SET email = 'new' WHERE id < 50")
        other.execute("DELETE FROM people WHERE id > 150")
        other.execute("INSERT INTO people (name) VALUES ('new')")

    added = "ALTER TABLE people ADD COLUMN tier text"
    assert judged(shop, plan_of(added), added, others).verdict == "ok"


def test_what_could_not_be_read_before_is_unknown(shop: Target) -> None:
    got = judged(shop, plan_of("", "reads data"), "DELETE FROM people WHERE id = 3")
    assert got.verdict == "unknown"
    assert got.findings


def test_a_table_that_hides_its_rows_is_unknown_and_never_well(shop: Target) -> None:
    """The policy's own roles see none of it, and say so instead of seeing an empty table."""
    with psycopg.connect(**shop.conninfo(), autocommit=True) as opened:
        opened.execute(
            "DO $$ BEGIN CREATE ROLE peeper LOGIN; EXCEPTION WHEN duplicate_object THEN END $$;"
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO peeper"
        )
    plan = plan_of("")
    peeper = replace(shop, user="peeper", password=None)
    before = take(peeper, plan, timeout_s=20)
    with psycopg.connect(**shop.conninfo(), autocommit=True) as opened:
        opened.execute("UPDATE alembic_version SET version_num = '002'")
    after = take(peeper, plan, timeout_s=20, before=before)
    with psycopg.connect(**shop.conninfo(), autocommit=True) as opened:
        opened.execute("DROP OWNED BY peeper")
    got = compare(before, after, expected_of(plan, ["002"], Wrote()))
    assert got.verdict == "unknown"
    assert "public.people was not looked at" in got.findings[0]


def test_without_time_nothing_is_called_well(shop: Target) -> None:
    plan = plan_of("")
    before = take(shop, plan, timeout_s=0)
    assert "public.people" in before.unseen
    assert compare(before, before, expected_of(plan, [], Wrote())).verdict == "unknown"
