"""How revisions are numbered and their files called."""

from configparser import ConfigParser
from pathlib import Path

import pytest

from shippyard.migration import naming

MIGRATIONS = Path(__file__).parents[3] / "migrations"


@pytest.mark.parametrize(
    ("taken", "expected"),
    [([], "001"), (["001"], "002"), (["010", "009"], "011"), (["999"], "1000"), (["abc"], "001")],
)
def test_the_next_number_follows_the_highest(taken: list[str], expected: str) -> None:
    assert naming.next_number(taken) == expected


@pytest.mark.parametrize(
    ("description", "slug"),
    [
        ("Add user preferences", "add_user_preferences"),
        ("  users.email: drop it!  ", "users_email_drop_it"),
        ("word " * 40, "word_" * 11 + "word"),
        ("x" * 70, "x" * 60),
        ("…", ""),
    ],
)
def test_a_description_becomes_a_slug(description: str, slug: str) -> None:
    assert naming.slug_of(description) == slug


def test_only_the_next_number_may_be_chosen() -> None:
    assert naming.problem_with_id("003", ["001", "002"]) is None
    problem = naming.problem_with_id("007", ["001", "002"])
    assert problem == "the next revision is 003, not 007; leave --rev-id out"


@pytest.mark.parametrize(
    "file", ["004_add_thing.py", "004_a.py", "004_email_v2.py", "004_cut_by_alembic_.py"]
)
def test_a_well_named_file_is_fine(file: str) -> None:
    assert naming.problem_with_file(file, "004", "Add thing") is None


@pytest.mark.parametrize(
    "file", ["add_thing.py", "005_add_thing.py", "004-add-thing.py", "004_.py", "004_Add.py"]
)
def test_a_misnamed_file_is_told_its_name(file: str) -> None:
    problem = naming.problem_with_file(file, "004", "Add a thing.")
    assert problem == f"{file}: rename it to 004_add_a_thing.py"


def test_a_revision_must_be_a_number() -> None:
    problem = naming.problem_with_file("1a2b_add.py", "1a2b", "Add")
    assert problem == "1a2b_add.py: its revision is '1a2b'; revisions are numbered: 001, 002, …"


@pytest.mark.parametrize(
    "description",
    ["Add user's e-mail, v2.", "snake_case stays", "Größe", "", "…", "word " * 40, "x" * 70],
)
def test_the_name_that_is_told_is_a_good_one(description: str) -> None:
    right = naming.right_name("004", description)
    assert naming.problem_with_file("wrong.py", "004", description) == (
        f"wrong.py: rename it to {right}"
    )
    assert naming.problem_with_file(right, "004", description) is None


def test_an_id_is_not_a_pattern() -> None:
    assert naming.is_well_named("v1.0_add.py", "v1.0")
    assert not naming.is_well_named("v1x0_add.py", "v1.0")


def test_alembic_cuts_where_we_do() -> None:
    ini = ConfigParser()
    ini.read(MIGRATIONS / "alembic.ini", encoding="utf-8")
    assert ini.getint("alembic", "truncate_slug_length") == naming.MAX_SLUG_CHARS
