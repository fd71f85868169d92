"""A check of the operator's own on a real server, asked as a superuser: it writes nothing."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from shippyard.config.models import Health
from shippyard.health.asking import Asker
from shippyard.health.loader import CheckInvalid, load_checks
from shippyard.health.model import Check
from shippyard.postgres.session import QueryFailed, Session, session
from shippyard.postgres.target import Target
from tests.integration.health.conftest import connect

TOML = """
summary = "An operator's own"
cadence = "fast"
timeout_s = 1
{more}
[metric]
name = "own_value"
"""

# What it is told of each: a write, a statement too many, or an end that is not its own.
HOSTILE = {
    "WITH gone AS (DELETE FROM stock RETURNING 1) SELECT count(*) AS value FROM gone": "0A000",
    "SELECT write_stock() AS value": "25006",
    "SELECT loosen() + write_stock() AS value": "25001",
    "SELECT setval('stock_seq', 99) AS value": "25006",
    "SELECT n AS value FROM stock FOR UPDATE": "25006",
    "SELECT 1 AS value; INSERT INTO stock VALUES (2)": "42601",
    "SELECT 1 AS value; COMMIT; SET default_transaction_read_only = off;"
    " INSERT INTO stock VALUES (3)": "42601",
    "SELECT 1 AS value; COMMIT; BEGIN READ WRITE; INSERT INTO stock VALUES (4); COMMIT;"
    " BEGIN; DECLARE shippyard_check CURSOR FOR SELECT 1 AS value": "42601",
    "SELECT pg_sleep(9), 1 AS value": "57014",
}


def own(folder: Path, sql: str, more: str = "") -> Check:
    (folder / "own.toml").write_text(TOML.format(more=more))
    (folder / "own.sql").write_text(sql)
    checks = load_checks(Health(checks_dir=folder))
    return next(check for check in checks if check.name == "own")


@pytest.fixture
def stock(fresh_database: Target) -> Iterator[Session]:
    """A session as the superuser, beside a table with one row and functions that harm it."""
    with connect(fresh_database) as admin:
        admin.execute("CREATE TABLE stock (n int); INSERT INTO stock VALUES (1)")
        admin.execute("CREATE SEQUENCE stock_seq")
        admin.execute(
            "CREATE FUNCTION write_stock() RETURNS int LANGUAGE plpgsql AS"
            " 'BEGIN INSERT INTO public.stock VALUES (5); RETURN 1; END'"
        )
        admin.execute(
            "CREATE FUNCTION loosen() RETURNS int LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM set_config(''transaction_read_only'', ''off'', false); RETURN 1; END'"
        )
    with session(fresh_database, "test") as opened:
        opened.query("SET search_path = public, pg_catalog")
        yield opened


@pytest.mark.parametrize(("sql", "sqlstate"), HOSTILE.items())
def test_it_writes_nothing_and_the_session_lives_on(
    tmp_path: Path, stock: Session, sql: str, sqlstate: str
) -> None:
    check = own(tmp_path, sql)
    with pytest.raises(QueryFailed) as caught:
        Asker("postgres").ask(stock, check, {}, 0.0)
    assert caught.value.sqlstate == sqlstate
    assert stock.query("SELECT n FROM stock") == [{"n": 1}]
    assert stock.query("SHOW default_transaction_read_only")[0].popitem()[1] == "on"
    assert stock.query("SELECT last_value::int AS n FROM stock_seq") == [{"n": 1}]


def test_what_it_sets_ends_with_it(tmp_path: Path, stock: Session) -> None:
    sql = "SELECT set_config('default_transaction_read_only', 'off', false) = 'off' AS value"
    Asker("postgres").ask(stock, own(tmp_path, sql), {}, 0.0)
    assert stock.query("SHOW default_transaction_read_only")[0].popitem()[1] == "on"


def test_what_a_server_lets_pass_is_rolled_back(tmp_path: Path, stock: Session) -> None:
    """Before 16 a read-only transaction may make large objects."""
    with contextlib.suppress(QueryFailed):
        check = own(tmp_path, "SELECT lo_create(4242)::bigint AS value")
        Asker("postgres").ask(stock, check, {}, 0.0)
    assert stock.query("SELECT count(*) AS n FROM pg_largeobject_metadata") == [{"n": 0}]


def test_it_may_have_parameters(tmp_path: Path, stock: Session) -> None:
    sql = "SELECT n * %(factor)s AS value FROM stock WHERE n::text LIKE '1%%'"
    check = own(tmp_path, sql, more="params = { factor = 7 }")
    answer, _ = Asker("postgres").ask(stock, check, {}, 0.0)
    assert answer.families[0].samples[0].value == 7


def test_an_error_in_it_says_the_line_of_its_file(tmp_path: Path, stock: Session) -> None:
    check = own(tmp_path, "SELECT n AS value\nFROM stock\nWHERE m > 1")
    with pytest.raises(QueryFailed, match=r'column "m" does not exist LINE 3: WHERE m > 1'):
        Asker("postgres").ask(stock, check, {}, 0.0)


@pytest.mark.parametrize(
    "sql", ["INSERT INTO stock VALUES (2)", "SHOW all", "-- so\nDELETE FROM stock", ""]
)
def test_what_is_no_question_is_not_loaded(tmp_path: Path, sql: str) -> None:
    with pytest.raises(CheckInvalid, match=r"own\.sql:1: a check is one SELECT"):
        own(tmp_path, sql)
