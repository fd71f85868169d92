"""Data and statements of a real database, looked at twice: what is the same, and what is not."""

from collections.abc import Callable
from dataclasses import replace

import psycopg
import pytest

from shippyard.migration.rehearsal import data
from shippyard.migration.rehearsal.compare import losses
from shippyard.migration.rehearsal.data import DataTaken, take_data
from shippyard.migration.rehearsal.statements import Asked, slower, time_statements
from shippyard.postgres.target import Target

EVERYTHING = """
CREATE TYPE mood AS ENUM ('glad', 'sad');
CREATE TABLE plain (
    id int PRIMARY KEY, small smallint, big bigint, amount numeric, ratio float8, yes boolean,
    word text, code varchar(8), raw bytea, day date, at timestamptz, span interval, doc json,
    docb jsonb, list int[], words text[], mood mood, net inet, bits varbit, mark uuid,
    ranged int4range,
    twice int GENERATED ALWAYS AS (id * 2) STORED
);
INSERT INTO plain (id, small, big, amount, ratio, yes, word, code, raw, day, at, span, doc, docb,
    list, words, mood, net, bits, mark, ranged)
SELECT n, n, n::bigint << 40, CASE n WHEN 3 THEN 'NaN' ELSE n / 7.0 END, n / 3.0::float8, n % 2 = 0,
    CASE WHEN n % 4 = 0 THEN NULL WHEN n % 4 = 1 THEN '' ELSE 'word ' || n END, 'c' || n,
    decode(md5(n::text), 'hex'), date '2026-01-01' + n,
    timestamptz '2026-01-01 12:00+02' + n * interval '1 h',
    n * interval '1 minute', json_build_object('n', n), jsonb_build_object('n', n), ARRAY[n, n + 1],
    ARRAY['a', NULL], 'glad', '10.0.0.1', B'101', md5(n::text)::uuid, int4range(n, n + 5)
FROM generate_series(1, 500) AS n;
CREATE TABLE "Quoted ""Name" ("A b" int, "percent%s" text);
INSERT INTO "Quoted ""Name" VALUES (1, '100 %'), (2, NULL), (2, NULL);
CREATE TABLE nothing ();
INSERT INTO nothing DEFAULT VALUES;
CREATE TABLE parts (id int, half int, word text, PRIMARY KEY (id, half)) PARTITION BY LIST (half);
CREATE TABLE parts_0 PARTITION OF parts FOR VALUES IN (0);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
CREATE TABLE keyless (a int, b text, c int);
INSERT INTO keyless SELECT n, 'b' || n, CASE WHEN n > 5 THEN n END FROM generate_series(1, 9) n;
INSERT INTO parts SELECT n, n % 2, 'w' || n FROM generate_series(1, 100) n;
CREATE TABLE hidden (id text PRIMARY KEY, word text);
INSERT INTO hidden VALUES ('a', 'x'), ('b', 'y');
ALTER TABLE hidden ENABLE ROW LEVEL SECURITY;
ALTER TABLE hidden FORCE ROW LEVEL SECURITY;
CREATE SEQUENCE downwards INCREMENT -1;
SELECT nextval('downwards'), nextval('downwards');
"""


@pytest.fixture
def filled(fresh_database: Target) -> Target:
    do(fresh_database, EVERYTHING)
    return fresh_database


def do(target: Target, statements: str) -> None:
    with psycopg.connect(**target.conninfo(), autocommit=True) as connection:
        connection.execute(statements.encode())


def look(target: Target) -> DataTaken:
    return take_data(target, seconds=30)


def test_every_kind_of_table_is_read(filled: Target) -> None:
    taken = look(filled)
    assert {name: table.rows for name, table in taken.tables.items()} == {
        "public.plain": 500,
        'public."Quoted ""Name"': 3,
        "public.nothing": 1,
        "public.parts": 100,
        "public.hidden": 2,
        "public.keyless": 9,
    }
    assert taken.unread == ()
    assert taken.tables["public.plain"].columns["word"].values == 375
    assert taken.sequences == {"public.downwards": 2}


@pytest.mark.parametrize(
    "harmless",
    [
        "VACUUM FULL plain",
        "CREATE TABLE copied AS SELECT * FROM plain; DROP TABLE copied",
        "UPDATE plain SET word = word",
        "ALTER TABLE plain ALTER small TYPE bigint",
        (
            "ALTER TABLE keyless DROP c; ALTER TABLE keyless ADD c int;"
            " UPDATE keyless SET c = a WHERE a > 5"
        ),
        "DELETE FROM parts WHERE id = 7; INSERT INTO parts VALUES (7, 1, 'w7')",
    ],
)
def test_what_changes_no_value_is_no_loss(filled: Target, harmless: str) -> None:
    before = look(filled)
    for statement in harmless.split("; "):
        do(filled, statement)
    assert losses(before, look(filled)) == ()


@pytest.mark.parametrize(
    ("harm", "named"),
    [
        ("UPDATE plain SET word = NULL WHERE id = 5", "public.plain.word"),
        ("UPDATE plain SET word = '' WHERE id = 4", "public.plain.word"),
        ("UPDATE plain SET amount = 0 WHERE id = 3", "public.plain.amount"),
        ("UPDATE plain SET ratio = 0.1 WHERE id = 9", "public.plain.ratio"),
        ("UPDATE plain SET words = ARRAY['a', ''] WHERE id = 9", "public.plain.words"),
        ("UPDATE plain SET at = at + interval '1 us' WHERE id = 9", "public.plain.at"),
        ("UPDATE plain SET at = 'infinity' WHERE id = 9", "public.plain.at"),
        ("UPDATE plain SET yes = NOT yes WHERE id = 9", "public.plain.yes"),
        ("UPDATE plain SET mark = md5('x')::uuid WHERE id = 9", "public.plain.mark"),
        ("UPDATE plain SET list = '{9}' WHERE id = 9", "public.plain.list"),
        ("UPDATE plain SET raw = raw || '\\x00' WHERE id = 9", "public.plain.raw"),
        ("UPDATE plain SET mood = 'sad' WHERE id = 9", "public.plain.mood"),
        ("UPDATE plain SET doc = '{}' WHERE id = 9", "public.plain.doc"),
        (
            "UPDATE plain SET code = CASE id WHEN 1 THEN 'c2' ELSE 'c1' END WHERE id IN (1, 2)",
            "public.plain.code",
        ),
        ("UPDATE parts_1 SET word = 'v' WHERE id = 9", "public.parts.word"),
        ("UPDATE hidden SET word = 'z' WHERE id = 'a'", "public.hidden.word"),
        ('DELETE FROM "Quoted ""Name" WHERE "A b" = 1', 'public."Quoted ""Name": 1 rows'),
        ("DELETE FROM nothing", "public.nothing: 1 rows"),
        ("UPDATE keyless SET b = 'b' || 10 - a", "public.keyless: values that were in one row"),
        ("UPDATE keyless SET c = CASE WHEN a < 5 THEN 10 - a END", "public.keyless: values that"),
        ("ALTER SEQUENCE downwards RESTART", "public.downwards"),
    ],
)
def test_one_value_is_enough(filled: Target, harm: str, named: str) -> None:
    before = look(filled)
    do(filled, harm)
    (line,) = losses(before, look(filled))
    assert line.startswith(named)


def test_without_time_it_is_said_what_was_not_read(filled: Target) -> None:
    taken = take_data(filled, seconds=0)
    assert len(taken.unread) == 6
    assert taken.tables == {}


def test_what_runs_out_of_time_is_named_and_the_others_are_read(
    filled: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    do(filled, "CREATE TABLE first (slow text); INSERT INTO first VALUES ('x')")
    hashed = data._hashed
    monkeypatch.setattr(
        data,
        "_hashed",
        lambda column, *more: (
            "length(pg_sleep(60)::text)" if column == '"slow"' else hashed(column, *more)
        ),
    )
    monkeypatch.setattr(data, "_TABLES_SQL", data._TABLES_SQL.replace("ORDER BY (", "ORDER BY -("))
    taken = take_data(filled, seconds=3)
    assert "public.first" in taken.unread
    assert "public.plain" in taken.tables


def test_a_table_of_very_many_columns_is_read(fresh_database: Target) -> None:
    columns = ", ".join(f"c{n} int DEFAULT {n}" for n in range(1200))
    do(fresh_database, f"CREATE TABLE wide ({columns}); INSERT INTO wide DEFAULT VALUES")
    before = look(fresh_database)
    assert len(before.tables["public.wide"].columns) == 1200
    do(fresh_database, "UPDATE wide SET c1100 = 7")
    assert losses(before, look(fresh_database)) == (
        "public.wide.c1100: its values are not as before",
    )


def as_user(target: Target) -> Callable[[str], Target]:
    return lambda user: replace(target, user=user)


def test_a_statement_that_loses_its_index_or_its_column_is_told(fresh_database: Target) -> None:
    do(
        fresh_database,
        "CREATE TABLE goods AS SELECT n AS id, md5(n::text) AS name"
        " FROM generate_series(1, 60000) AS n;"
        "CREATE INDEX goods_id ON goods (id); ANALYZE goods;"
        "CREATE SCHEMA other; ALTER ROLE postgres SET search_path = other, public",
    )
    asked = [
        Asked("SELECT name FROM goods WHERE id = $1", "postgres", 9, 1.0),
        Asked("UPDATE goods SET name = $2 WHERE id = $1", "postgres", 9, 1.0),
        Asked("SELECT count(*) FROM goods WHERE id BETWEEN 5 AND 9", "postgres", 9, 1.0),
        Asked("SELECT nextval('nowhere')", "postgres", 9, 1.0),
        Asked("SELECT 1 FROM goods LIMIT $1", "nobody there", 9, 1.0),
    ]
    try:
        before = time_statements(as_user(fresh_database), asked, seconds=20)
        assert [each.text for each in before] == [each.text for each in asked[:4]]
        assert before[asked[3]].error
        do(fresh_database, "DROP INDEX goods_id")
        after = time_statements(as_user(fresh_database), asked, seconds=20)
        found = slower(before, after)
        assert any("id = $1 (9 calls): planned to cost" in each for each in found), found
        assert any("reads goods whole" in each for each in found), found
        do(fresh_database, "ALTER TABLE goods DROP COLUMN name")
        gone = slower(before, time_statements(as_user(fresh_database), asked[:2], seconds=20))
        assert len(gone) == 2
        assert all("runs no more" in each for each in gone)
    finally:
        do(fresh_database, "ALTER ROLE postgres RESET search_path")
