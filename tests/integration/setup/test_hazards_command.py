"""`shippyard migration hazards` on trees and on files of SQL."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bench.hazard_cases import Case, load_cases, write_tree
from shippyard.cli.exits import Problem
from shippyard.cli.main import cli
from shippyard.setup.schema import MIGRATIONS

TREE = MIGRATIONS / "alembic.ini"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["migration", "hazards", *arguments])


def case(name: str) -> Case:
    return next(each for each in load_cases() if each.name == name)


def test_the_tree_of_this_repository_has_none_that_blocks() -> None:
    result = run("--tree", str(TREE), "--json")

    assert result.exit_code == 0, result.output
    found = json.loads(result.output)["hazards"]
    assert not [each for each in found if each["level"] == "block"]


def test_a_tree_is_looked_at_after_the_revision_that_is_named(tmp_path: Path) -> None:
    write_tree(case("rename_column"), tmp_path / "tree")

    result = run("--tree", str(tmp_path / "tree" / "alembic.ini"), "--from", "001", "--json")

    assert isinstance(result.exception, Problem)
    found = json.loads(result.output)["hazards"]
    assert [each["id"] for each in found if each["source"] == "shippyard"] == ["H30"]
    assert found[0]["revision"] == "002"
    assert found[0]["line"] > 1


def test_plain_sql_needs_no_tree(tmp_path: Path) -> None:
    file = tmp_path / "changes.sql"
    file.write_text("SELECT 1;\nCREATE INDEX CONCURRENTLY i ON t (x);\n")

    inside, by_itself = run(str(file)), run("--autocommit", str(file))

    assert isinstance(inside.exception, Problem)
    assert inside.output.startswith("block\tH02\tup\t")
    assert f"{file}:2" in inside.output
    assert by_itself.exit_code == 0


@pytest.mark.parametrize("wrong", [["--from", "999"], ["--tree", "nowhere.ini"]])
def test_what_is_not_there_is_said(wrong: list[str]) -> None:
    tree = [] if "--tree" in wrong else ["--tree", str(TREE)]

    assert isinstance(run(*tree, *wrong).exception, Problem)
