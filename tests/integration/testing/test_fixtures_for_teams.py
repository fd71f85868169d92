"""Databases for a team's tests: each its own, at head, with roles that are held to their rights."""

import uuid
from pathlib import Path

import psycopg
import pytest

from shippyard.postgres.target import Target
from shippyard.setup.schema import MIGRATIONS
from shippyard.testing.databases import Databases, ShippyarDatabase
from shippyard.testing.server import ServerUnusable, server_for_tests
from shippyard.testing.template import connected, template_name

ADD_USER = "INSERT INTO users (email_v2, full_name) VALUES (%s, 'Ada') RETURNING id"


def add_user(database: ShippyarDatabase, email: str) -> uuid.UUID:
    with database.connect() as connection:
        row = connection.execute(ADD_USER, [email]).fetchone()
        assert row
        assert isinstance(row[0], uuid.UUID)
        return row[0]


@pytest.mark.parametrize("time", [1, 2])
def test_what_a_test_writes_no_other_sees(shippyar_database: ShippyarDatabase, time: int) -> None:
    with shippyar_database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM users").fetchall() == [(0,)]
        assert connection.execute("SELECT count(*) FROM countries").fetchall() == [(249,)]
    add_user(shippyar_database, f"ada{time}@example.com")


@pytest.mark.parametrize("before", [0, 1])
def test_a_suite_shares_its_database(
    shippyar_suite_database: ShippyarDatabase, before: int
) -> None:
    with shippyar_suite_database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM users").fetchall() == [(before,)]
    add_user(shippyar_suite_database, f"ada{before}@example.com")


def test_the_application_sees_the_row_of_the_person_it_works_for(
    shippyar_database: ShippyarDatabase,
) -> None:
    ada, ben = (add_user(shippyar_database, f"{name}@example.com") for name in ("ada", "ben"))
    everyone = "SELECT id FROM users ORDER BY email_v2"
    with shippyar_database.connect_as("shippyar_app", ada) as app:
        assert app.execute(everyone).fetchall() == [(ada,)]
    with shippyar_database.connect_as("shippyar_app") as app:
        assert app.execute(everyone).fetchall() == []
    with shippyar_database.connect_as("analytics_ro") as analytics:
        assert analytics.execute(everyone).fetchall() == [(ada,), (ben,)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            analytics.execute("DROP TABLE users")


def test_a_database_that_is_given_back_goes_even_while_someone_is_connected(
    shippyar_server: Target, shippyar_template: str
) -> None:
    databases = Databases(shippyar_server, shippyar_template)
    database = databases.take()
    left_open = psycopg.connect(database.conninfo)
    databases.give_back(database)
    databases.close()
    with connected(shippyar_server) as connection:
        there = "SELECT count(*) FROM pg_database WHERE datname = %s"
        assert connection.execute(there, [database.target.dbname]).fetchall() == [(0,)]
    left_open.close()


def test_a_changed_tree_has_a_template_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "001_a.py").write_text("a")
    first = template_name(tmp_path)
    assert template_name(tmp_path) == first != template_name(MIGRATIONS)
    (tmp_path / "001_a.py").write_text("b")
    assert template_name(tmp_path) != first


def test_nobody_can_connect_to_the_template(
    shippyar_server: Target, shippyar_template: str
) -> None:
    with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
        psycopg.connect(**{**shippyar_server.conninfo(), "dbname": shippyar_template})


@pytest.mark.parametrize("url", ["nonsense", "postgresql://u:hush@h/d"])
def test_a_server_that_cannot_be_used_is_one_line_without_its_password(url: str) -> None:
    with pytest.raises(ServerUnusable, match="SHIPPYAR_TEST_SERVER") as refused:
        with server_for_tests({"SHIPPYAR_TEST_SERVER": url}, None):  # type: ignore[arg-type]
            pass
    assert "hush" not in str(refused.value)
