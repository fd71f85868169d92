"""Rules that hold for every table at head, asked of the catalog."""

import psycopg
import pytest

from shippyard.postgres.target import Target

OURS = "n.nspname = 'public' AND c.relkind = 'r' AND c.relname <> 'alembic_version'"

FOREIGN_KEYS_WITHOUT_INDEX = """
SELECT con.conrelid::regclass::text || '.' || con.conname
FROM pg_constraint AS con
WHERE con.contype = 'f' AND NOT EXISTS (
    SELECT FROM pg_index AS i
    WHERE i.indrelid = con.conrelid AND i.indisvalid AND i.indpred IS NULL
    -- the key's columns come first in the index, in any order
    AND (i.indkey::int2[])[0:cardinality(con.conkey) - 1] @> con.conkey
)
"""

WRONG_MOMENTS = f"""
SELECT c.relname || '.' || a.attname
FROM pg_attribute AS a
JOIN pg_class AS c ON c.oid = a.attrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE {OURS} AND a.attnum > 0 AND (
    a.atttypid IN ('timestamp'::regtype, 'time'::regtype, 'timetz'::regtype)
    OR (a.attname ~ '_(at|after|before|until)$' AND a.atttypid <> 'timestamptz'::regtype)
)
"""

UNCOMMENTED = f"""
SELECT c.relname
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE {OURS} AND coalesce(obj_description(c.oid, 'pg_class'), '') = ''
"""

COLUMNS_WITHOUT_COMMENT = f"""
SELECT c.relname || '.' || a.attname
FROM pg_attribute AS a
JOIN pg_class AS c ON c.oid = a.attrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE {OURS} AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> 'id'
AND coalesce(col_description(c.oid, a.attnum), '') = ''
"""

# A country's key is its ISO code: the one natural key.
KEYS_THAT_ARE_NOT_UUID = f"""
SELECT c.relname
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_constraint AS con ON con.conrelid = c.oid AND con.contype = 'p'
LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = ANY(con.conkey)
WHERE {OURS} AND c.relname <> 'countries' AND a.atttypid IS DISTINCT FROM 'uuid'::regtype
"""

MONEY_WITHOUT_CURRENCY = f"""
SELECT c.relname || '.' || a.attname
FROM pg_attribute AS a
JOIN pg_class AS c ON c.oid = a.attrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE {OURS} AND a.attname ~ '(amount|value|price)$' AND NOT (
    format_type(a.atttypid, a.atttypmod) = 'numeric(12,2)'
    AND EXISTS (
        SELECT FROM pg_constraint AS con
        JOIN pg_attribute AS b ON b.attrelid = c.oid AND b.attname = 'currency'
        WHERE con.conrelid = c.oid AND con.contype = 'c' AND b.attnum = ANY(con.conkey)
        AND format_type(b.atttypid, b.atttypmod) = 'character(3)'
    )
)
"""

STATUSES_WITHOUT_CHECK = f"""
SELECT c.relname || '.' || a.attname
FROM pg_attribute AS a
JOIN pg_class AS c ON c.oid = a.attrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE {OURS} AND a.attname IN ('status', 'kind', 'method', 'units', 'subscription_tier')
AND NOT EXISTS (
    SELECT FROM pg_constraint AS con
    WHERE con.conrelid = c.oid AND con.contype = 'c' AND con.convalidated
    AND a.attnum = ANY(con.conkey)
)
"""

INVALID = """
SELECT conname FROM pg_constraint WHERE NOT convalidated
UNION ALL
SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid
"""

# Each rule and a table that breaks it, so that the question is known to find something.
RULES = {
    "every foreign key is indexed": (
        FOREIGN_KEYS_WITHOUT_INDEX,
        "CREATE TABLE bad (id uuid PRIMARY KEY, user_id uuid REFERENCES users)",
    ),
    "moments have a time zone": (
        WRONG_MOMENTS,
        "CREATE TABLE bad (id uuid PRIMARY KEY, seen_at timestamp)",
    ),
    "tables are commented": (UNCOMMENTED, "CREATE TABLE bad (id uuid PRIMARY KEY)"),
    "columns are commented": (
        COLUMNS_WITHOUT_COMMENT,
        "CREATE TABLE bad (id uuid PRIMARY KEY, seen_at timestamptz)",
    ),
    "keys are uuid": (KEYS_THAT_ARE_NOT_UUID, "CREATE TABLE bad (id bigint PRIMARY KEY)"),
    "money has a currency": (
        MONEY_WITHOUT_CURRENCY,
        "CREATE TABLE bad (id uuid PRIMARY KEY, amount numeric(12, 2))",
    ),
    "words are checked": (
        STATUSES_WITHOUT_CHECK,
        "CREATE TABLE bad (id uuid PRIMARY KEY, status text)",
    ),
    "nothing is left invalid": (
        INVALID,
        "CREATE TABLE bad (n int); ALTER TABLE bad ADD CONSTRAINT c CHECK (n > 0) NOT VALID",
    ),
}

EXPECTED = {
    "addresses",
    "bookings",
    "carriers",
    "cities",
    "companies",
    "countries",
    "payments",
    "quotes",
    "reviews",
    "shipment_events",
    "shipment_items",
    "shipments",
    "user_preferences",
    "users",
}


def ask(target: Target, question: str) -> list[str]:
    with psycopg.connect(**target.conninfo(), autocommit=True) as connection:
        return [str(row[0]) for row in connection.execute(question.encode())]


def test_every_rule_holds_at_head_and_would_find_a_breach(at_head: Target) -> None:
    for rule, (question, breach) in RULES.items():
        assert ask(at_head, question) == [], rule
        with psycopg.connect(**at_head.conninfo()) as connection:
            connection.execute(breach.encode())
            assert connection.execute(question.encode()).fetchall(), f"{rule}: blind"
            connection.rollback()


def test_all_tables_are_there(at_head: Target) -> None:
    tables = ask(at_head, "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    assert set(tables) == EXPECTED | {"alembic_version"}


def test_one_account_per_address_however_it_is_written(at_head: Target) -> None:
    insert = "INSERT INTO users (email_v2, full_name) VALUES (%s, 'A')"
    with psycopg.connect(**at_head.conninfo(), autocommit=True) as connection:
        connection.execute(insert, ["ada@example.com"])
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute(insert, ["Ada@Example.com"])
