"""`shippyard bootstrap` on a real server: shows, makes, converges, and tells what is too much."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result

from shippyard.cli.exits import Problem
from shippyard.cli.main import cli
from shippyard.host.process import Processes
from shippyard.postgres.embedded import EmbeddedCluster, embedded_cluster
from shippyard.postgres.tools import server_tools
from shippyard.setup.bootstrap.passwords import is_verifier_of

SECRET = "correct-horse-battery"
DOCUMENT = """
environment = "testing"
[daemon]
state_dir = "state"
[backup]
dir = "backups"
[[databases]]
name = "shop"
dbname = "shop"
host = "{host}"
monitor = {{ user = "watcher" }}
backup = {{ user = "dumper" }}
migrator = {{ user = "mover" }}
[access]
owner = "owner"
app = {{ user = "app", password_credential = "app" }}
"""

Bootstrap = Callable[..., Result]


@pytest.fixture(scope="module")
def running(processes: Processes) -> Iterator[EmbeddedCluster]:
    """One of its own: roles belong to the whole server. Logs every statement."""
    settings = {"log_statement": "all"}
    with embedded_cluster(server_tools(processes), processes, settings) as cluster:
        yield cluster


@pytest.fixture
def server(running: EmbeddedCluster) -> Iterator[EmbeddedCluster]:
    """It, without a database or a role of another test."""
    yield running
    ask(running, "DROP DATABASE IF EXISTS shop WITH (FORCE)")
    for (role,) in ask(
        running, "SELECT quote_ident(rolname) FROM pg_roles WHERE rolname !~ '^(pg_|postgres$)'"
    ):
        ask(running, f"DROP ROLE {role}")


@pytest.fixture
def bootstrap(
    server: EmbeddedCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Bootstrap:
    config = tmp_path / "shippyard.toml"
    config.write_text(DOCUMENT.format(host=server.socket_dir))
    (tmp_path / "app").write_text(SECRET)
    monkeypatch.setenv("SHIPPYARD_CREDENTIALS", str(tmp_path))

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(cli, ["bootstrap", "--config", str(config), *arguments])

    return run


def ask(server: EmbeddedCluster, question: str, dbname: str = "postgres") -> list[Any]:
    with psycopg.connect(**server.target(dbname).conninfo(), autocommit=True) as connection:
        cursor = connection.execute(question.encode())
        return cursor.fetchall() if cursor.description else []


def problem(result: Result) -> Problem:
    assert isinstance(result.exception, Problem), result.output
    return result.exception


def test_shows_the_sql_masked_and_changes_nothing(
    server: EmbeddedCluster, bootstrap: Bootstrap
) -> None:
    shown = bootstrap()
    assert shown.exit_code == 0
    assert "CREATE ROLE \"app\" LOGIN PASSWORD '…';" in shown.stdout
    assert '\\connect "shop"\n' in shown.stdout
    assert "--apply" in shown.stderr
    assert SECRET not in shown.output
    assert ask(server, "SELECT FROM pg_roles WHERE rolname = 'app'") == []


def test_what_is_shown_is_what_is_run(bootstrap: Bootstrap) -> None:
    assert bootstrap().stdout == bootstrap("--apply").stdout


def test_a_second_time_there_is_nothing_to_do(bootstrap: Bootstrap) -> None:
    assert bootstrap("--apply").exit_code == 0
    again = bootstrap("--apply")
    assert again.stdout == ""
    assert "nothing to do" in again.stderr
    checked = bootstrap("--check")
    assert checked.exit_code == 0
    assert "as it should be" in checked.output


def test_the_password_reaches_neither_server_nor_log_and_is_the_right_one(
    server: EmbeddedCluster, bootstrap: Bootstrap
) -> None:
    bootstrap("--apply")
    ((stored,),) = ask(server, "SELECT rolpassword FROM pg_authid WHERE rolname = 'app'")
    assert is_verifier_of(stored, SECRET)
    log = server.log_file.read_text()
    assert "CREATE ROLE" in log
    assert SECRET not in log


def test_a_changed_password_is_the_one_thing_to_do(bootstrap: Bootstrap, tmp_path: Path) -> None:
    bootstrap("--apply")
    (tmp_path / "app").write_text("another-one-now")
    assert bootstrap("--apply").stdout.splitlines()[1:] == ["ALTER ROLE \"app\" PASSWORD '…';"]
    assert bootstrap("--check").exit_code == 0


def test_without_its_credential_a_plan_is_made_and_not_run(
    bootstrap: Bootstrap, tmp_path: Path
) -> None:
    (tmp_path / "app").unlink()
    assert "the password of app was not looked at" in bootstrap().stderr
    assert "no password for app" in str(problem(bootstrap("--apply")))


def test_a_role_without_a_password_is_said(bootstrap: Bootstrap) -> None:
    assert "without a password" in bootstrap("--apply").stderr


def test_too_much_is_told_with_what_mends_it_and_left_alone(
    server: EmbeddedCluster, bootstrap: Bootstrap
) -> None:
    bootstrap("--apply")
    ask(server, "ALTER ROLE app CREATEDB")
    ask(server, "CREATE TABLE t (id int); GRANT TRUNCATE ON t TO watcher", "shop")
    assert bootstrap("--apply").exit_code == 0
    checked = bootstrap("--check", "--json")
    assert problem(checked).code == 1
    told = json.loads(checked.stdout)["servers"][0]["drift"]
    mends = [each["statement"] for each in told]
    assert mends == [
        'ALTER ROLE "app" NOCREATEDB;',
        'REVOKE TRUNCATE ON TABLE public.t FROM "watcher";',
    ]
    assert {each["kind"] for each in told} == {"too much"}
    ask(server, mends[0])
    ask(server, mends[1], "shop")
    assert bootstrap("--check").exit_code == 0


def test_what_the_superuser_made_becomes_the_owners(
    server: EmbeddedCluster, bootstrap: Bootstrap
) -> None:
    bootstrap("--apply")
    ask(server, "CREATE TABLE by_hand (id serial)", "shop")
    assert "public.by_hand is postgres's, not owner's" in bootstrap("--check").stdout
    bootstrap("--apply")
    ((owner, rights),) = ask(
        server,
        "SELECT tableowner, has_table_privilege('app', 'by_hand', 'DELETE') FROM pg_tables"
        " WHERE tablename = 'by_hand'",
        "shop",
    )
    assert (owner, rights) == ("owner", True)
    assert bootstrap("--check").exit_code == 0


def test_what_the_migrator_makes_is_the_owners_and_the_applications_to_use(
    server: EmbeddedCluster, bootstrap: Bootstrap
) -> None:
    bootstrap("--apply")
    with psycopg.connect(**server.target("shop", "mover").conninfo()) as connection:
        connection.execute("CREATE TABLE made (id serial PRIMARY KEY)")
    with psycopg.connect(**server.target("shop", "app").conninfo()) as connection:
        connection.execute("INSERT INTO made DEFAULT VALUES")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("ALTER TABLE made ADD COLUMN more int")
    assert bootstrap("--check").exit_code == 0


def test_a_copy_that_is_another_roles_database_works_too(
    server: EmbeddedCluster, bootstrap: Bootstrap
) -> None:
    """A restore beside the old one belongs to who restores; foreign keys are the owner's look."""
    bootstrap("--apply")
    with psycopg.connect(**server.target("shop", "mover").conninfo()) as connection:
        connection.execute("CREATE TABLE places (code text PRIMARY KEY)")
        connection.execute("CREATE TABLE parcels (place text REFERENCES places)")
    ask(server, "CREATE DATABASE copied TEMPLATE shop OWNER mover")
    ask(server, "GRANT CONNECT ON DATABASE copied TO app")
    try:
        with psycopg.connect(**server.target("copied", "app").conninfo()) as connection:
            connection.execute("INSERT INTO places VALUES ('here')")
            connection.execute("INSERT INTO parcels VALUES ('here')")
    finally:
        ask(server, "DROP DATABASE copied WITH (FORCE)")


def test_a_refusal_leaves_the_database_as_it_was(
    server: EmbeddedCluster, bootstrap: Bootstrap
) -> None:
    """A table that is in use is not waited for without an end."""
    bootstrap("--apply")
    ask(server, "CREATE TABLE busy (id int); CREATE TABLE other (id int)", "shop")
    before = ask(server, "SELECT relname, relowner, relacl::text FROM pg_class", "shop")
    with psycopg.connect(**server.target("shop").conninfo()) as holder:
        holder.execute("LOCK other IN ACCESS SHARE MODE")
        refused = problem(bootstrap("--apply"))
    assert "ALTER TABLE public.other OWNER TO" in str(refused)
    assert "lock timeout" in str(refused)
    assert "\n" not in str(refused)
    assert ask(server, "SELECT relname, relowner, relacl::text FROM pg_class", "shop") == before


def test_who_may_not_is_told_in_the_servers_words(
    server: EmbeddedCluster, bootstrap: Bootstrap
) -> None:
    ask(server, "CREATE ROLE clerk LOGIN CREATEROLE CREATEDB")
    refused = problem(bootstrap("--apply", "--user", "clerk"))
    assert refused.code == 5
    assert "permission denied for table pg_authid" in str(refused)


def test_no_server_is_one_line(bootstrap: Bootstrap, server: EmbeddedCluster) -> None:
    server.stop()
    try:
        refused = problem(bootstrap())
    finally:
        server.start()
    assert refused.code == 4
    assert "--user" in str(refused)


def test_apply_and_check_are_two_things(bootstrap: Bootstrap) -> None:
    assert problem(bootstrap("--apply", "--check")).code == 2
