"""`shippyard migration backfill`: what a revision registered, filled without a daemon."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner

from shippyard.cli.exits import ExitCode, Problem
from shippyard.cli.migration.backfill import backfill
from shippyard.migration import ops
from shippyard.postgres.target import Target
from tests.integration.migration.author_steps import Desk

Ask = Callable[..., str]


@pytest.fixture
def desk(fresh_database: Target) -> Desk:
    made = Desk(fresh_database)
    made.execute(
        "CREATE TABLE parcels (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)",
        "INSERT INTO parcels SELECT g FROM generate_series(1, 2000) g",
    )
    return made


@pytest.fixture
def ask(desk: Desk, tmp_path: Path) -> Ask:
    file = tmp_path / "shippyard.toml"
    target = desk.target
    file.write_text(
        f"""
environment = "testing"
[daemon]
state_dir = "{tmp_path}"
[backup]
dir = "{tmp_path}"
[[databases]]
name = "shippyar"
dbname = "{target.dbname}"
host = "{target.host}"
port = {target.port}
monitor = {{ user = "{target.user}" }}
backup = {{ user = "{target.user}" }}
migrator = {{ user = "{target.user}" }}
"""
    )

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(
            backfill, ["--config", str(file), *arguments], catch_exceptions=False
        )
        assert done.exit_code == 0
        return done.stdout

    return run


def registered(desk: Desk, *names: str) -> None:
    for name in names:
        desk.take(partial(ops.backfill, name, "parcels", {"n": "n + 1"}, background=True))


def test_what_is_registered_is_filled_once(desk: Desk, ask: Ask) -> None:
    registered(desk, "one", "two")
    assert ask("--list").splitlines()[0].startswith("one\tparcels\t0 rows\t0\t")
    assert ask("two").startswith("two\tparcels\tdone\t2,000\t")
    assert desk.scalar("SELECT count(*) FROM parcels WHERE n = 1") == 2000
    standing = json.loads(ask("--json"))["backfills"]
    assert [(each["name"], each["rows"]) for each in standing] == [("one", 2000), ("two", 2000)]
    ask()
    assert desk.scalar("SELECT count(*) FROM parcels WHERE n = 2") == 2000


def test_nothing_registered_is_said(ask: Ask) -> None:
    assert ask() == ""
    assert json.loads(ask("--json")) == {"backfills": []}


def test_what_goes_wrong_is_one_line_that_says_what_to_do(
    desk: Desk, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered(desk, "one")
    with pytest.raises(Problem, match="no backfill is called 'three'; there are: one") as usage:
        ask("three")
    assert usage.value.code == ExitCode.USAGE
    monkeypatch.setattr("shippyard.cli.migration.backfill.ATTEMPTS", 2)
    with desk.held("UPDATE parcels SET n = 0 WHERE id = 7"):
        with pytest.raises(Problem, match=r"lock timeout.*; run it again: it goes on where it was"):
            ask("one")
    with psycopg.connect(**desk.target.conninfo(), autocommit=True) as connection:
        connection.execute("DROP TABLE parcels")
    with pytest.raises(Problem, match="there is no table parcels"):
        ask("one")
