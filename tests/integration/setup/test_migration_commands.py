"""`shippyard migration new, lint, check, schema` on copies of the Shippyar tree."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner

from shippyard.cli.exits import ExitCode, Problem
from shippyard.cli.main import cli
from shippyard.host.process import Processes
from shippyard.postgres.target import Target
from shippyard.setup.schema import MIGRATIONS, make_policy_roles, upgrade, url_of

Ask = Callable[..., str]

# What is changed in the models, and the object that must be named; none of it is seen by
# autogenerate.
UNSEEN = {
    "constraint public.quotes.ck_quotes_status": ('"withdrawn", ', ""),
    "constraint public.reviews.ck_reviews_rating": ("BETWEEN 1 AND 5", "BETWEEN 1 AND 6"),
    "index public.uq_quotes_standing": (
        "postgresql_where=text(\"status = 'offered'\")",
        "postgresql_where=text(\"status = 'accepted'\")",
    ),
    "index public.ix_quotes_shipment_id_amount": (
        'postgresql_include=["currency", "carrier_id", "status"]',
        'postgresql_include=["currency", "carrier_id"]',
    ),
}

DRIFT_OF_A_DATABASE = """
DROP POLICY own_rows ON users;
ALTER TABLE addresses NO FORCE ROW LEVEL SECURITY;
DROP INDEX ix_payments_pending;
ALTER FUNCTION account_of(text) SECURITY INVOKER;
CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER noting BEFORE UPDATE ON carriers FOR EACH ROW EXECUTE FUNCTION noted();
ALTER TABLE quotes ALTER CONSTRAINT fk_quotes_carrier_id DEFERRABLE;
COMMENT ON TABLE reviews IS 'x';
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy to write into."""
    left_out = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(MIGRATIONS, tmp_path / "migrations", ignore=left_out))


@pytest.fixture
def ask(tree: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Runs a command where an author stands, beside the tree; gives what it prints."""
    monkeypatch.chdir(tree.parent)

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(cli, ["migration", *arguments], catch_exceptions=False)
        return done.stdout

    return run


def refused(ask: Ask, *arguments: str) -> Problem:
    with pytest.raises(Problem) as problem:
        ask(*arguments)
    return problem.value


def answer_of(
    capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[object, Problem]:  # a runner of click's gives no output with an error
    with pytest.raises(Problem) as problem:
        cli.main(args=["migration", *arguments], standalone_mode=False)
    return json.loads(capsys.readouterr().out), problem.value


def replaced(file: Path, before: str, after: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.count(before) == 1, before
    file.write_text(text.replace(before, after), encoding="utf-8")


def head_of(tree: Path) -> str:
    return max(file.name for file in (tree / "versions").glob("[0-9]*.py"))[:3]


def test_a_new_revision_is_the_next_and_is_finished_by_its_author(
    ask: Ask, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head = head_of(tree)
    file = ask("new", "Add user preferences, again").strip()
    assert file == f"migrations/versions/{int(head) + 1:03d}_add_user_preferences_again.py"
    text = (tree.parent / file).read_text(encoding="utf-8")
    assert text.startswith('"""Add user preferences, again\n')
    assert f"down_revision: str | Sequence[str] | None = '{head}'" in text
    second = json.loads(ask("new", "more", "--json"))
    assert second["down_revision"] == f"{int(head) + 1:03d}"
    assert (tree.parent / second["file"]).is_file()
    found, problem = answer_of(capsys, "lint", "--json")
    assert isinstance(found, dict)
    assert [(each["file"], each["rule"]) for each in found["findings"]] == [
        (made, rule) for made in (file, second["file"]) for rule in ("docstring", "downgrade")
    ]
    assert problem.code == ExitCode.FAILED


def test_a_tree_of_ones_own_gets_its_first_revision(ask: Ask, tree: Path) -> None:
    shutil.rmtree(tree / "versions")
    (tree / "versions").mkdir()
    tree.rename(tree.with_name("db"))
    made = json.loads(ask("new", "begin", "--tree", "db/alembic.ini", "--json"))
    assert made == {
        "revision": "001",
        "down_revision": None,
        "file": "db/versions/001_begin.py",
    }


@pytest.mark.parametrize("description", ["", " … ", 'say "it"', "two\nlines", "back\\slash"])
def test_what_is_no_description_makes_no_file(ask: Ask, tree: Path, description: str) -> None:
    before = sorted(tree.rglob("*"))
    assert refused(ask, "new", description).code == ExitCode.USAGE
    assert sorted(tree.rglob("*")) == before


def test_a_tree_with_two_heads_gets_no_third(ask: Ask, tree: Path) -> None:
    number = f"{int(head_of(tree)) + 1:03d}"
    last = next((tree / "versions").glob(f"{head_of(tree)}_*.py"))
    text = last.read_text(encoding="utf-8")
    (tree / "versions" / f"{number}_rival.py").write_text(
        text.replace(f'revision: str = "{head_of(tree)}"', f'revision: str = "{number}"')
    )
    count = len(list((tree / "versions").iterdir()))
    problem = refused(ask, "new", "another")
    assert "several heads" in str(problem)
    assert problem.code == ExitCode.FAILED
    assert len(list((tree / "versions").iterdir())) == count


def test_what_cannot_be_read_is_one_line(ask: Ask, tree: Path) -> None:
    assert str(refused(ask, "lint", "--tree", "none.ini")) == (
        "no alembic.ini at none.ini; name it with --tree"
    )
    (tree / "env.py").write_text("import nothing_of_that_name\n", encoding="utf-8")
    assert "No module named 'nothing_of_that_name'" in str(refused(ask, "new", "more"))
    (tree / "versions" / "900_bad.py").write_text("if:\n", encoding="utf-8")
    assert "900_bad.py is not Python" in str(refused(ask, "new", "more"))
    (tree / "env.py").unlink()
    assert refused(ask, "lint").code == ExitCode.USAGE


def test_lint_says_file_and_line(ask: Ask, tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask("lint") == ""
    (tree / "versions" / "002_add_user_preferences.py").rename(tree / "versions" / "prefs.py")
    with pytest.raises(Problem, match=r"^1 to mend in \d+ revisions$"):
        cli.main(args=["migration", "lint"], standalone_mode=False)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("migrations/versions/prefs.py:")
    assert line.endswith(": rename it to 002_add_user_preferences.py (name)")


def test_drift_of_models_that_autogenerate_does_not_see(
    ask: Ask,
    tree: Path,
    fresh_database: Target,
    processes: Processes,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for before, after in UNSEEN.values():
        replaced(tree / "models" / "deals.py", before, after)
    with (tree / "schema.sql").open("a", encoding="utf-8") as file:
        file.write("-- by hand\n")
    found, problem = answer_of(capsys, "check", "--json")
    assert isinstance(found, dict)
    assert found["head"] == head_of(tree)
    told = [(each["from"], each["to"], each["difference"]) for each in found["differences"]]
    file_line, *objects = told
    assert file_line[:2] == ("revisions", "schema.sql")
    assert file_line[2].endswith(": stale; run: shippyard migration schema")
    assert {line[:2] for line in objects} == {("models", "revisions")}
    assert [line[2].partition(": ")[0] for line in objects] == [
        f"~ {name}" for name in sorted(UNSEEN)
    ]
    assert problem.code == ExitCode.FAILED

    make_policy_roles(fresh_database)
    upgrade(fresh_database, processes, tree / "alembic.ini")
    done = processes.run(
        [sys.executable, "-m", "alembic", "-c", str(tree / "alembic.ini"), "check"],
        timeout_s=60,
        env={"SHIPPYAR_DATABASE_URL": url_of(fresh_database)},
    )
    assert done.returncode == 0, "autogenerate sees it now: choose other examples"


def test_drift_of_a_database_beside_the_revisions_it_has(
    ask: Ask,
    tree: Path,
    fresh_database: Target,
    processes: Processes,
    capsys: pytest.CaptureFixture[str],
) -> None:
    one_behind = f"{int(head_of(tree)) - 1:03d}"
    make_policy_roles(fresh_database)
    upgrade(fresh_database, processes, revision=one_behind)
    with psycopg.connect(**fresh_database.conninfo(), autocommit=True) as connection:
        connection.execute(DRIFT_OF_A_DATABASE)
    config = tree.parent / "shippyard.toml"
    config.write_text(config_for(fresh_database, tree.parent), encoding="utf-8")
    found, _ = answer_of(capsys, "check", "--config", str(config), "--json")
    assert isinstance(found, dict)
    assert {(each["from"], each["to"]) for each in found["differences"]} == {("revisions", "shop")}
    behind, *objects = [each["difference"].partition(": ")[0] for each in found["differences"]]
    assert behind == f"it is at {one_behind}, and head is {head_of(tree)}"
    assert objects == [
        "~ constraint public.quotes.fk_quotes_carrier_id",
        "~ function public.account_of(address text)",
        "+ function public.noted()",
        "- index public.ix_payments_pending",
        "- policy public.users.own_rows",
        "~ table public.addresses",
        "~ table public.reviews",
        "+ trigger public.carriers.noting",
    ]


def test_a_database_that_does_not_answer_is_said(ask: Ask, tree: Path) -> None:
    config = tree.parent / "shippyard.toml"
    nowhere = Target(str(tree.parent), 1, "shop", "postgres")
    config.write_text(config_for(nowhere, tree.parent), encoding="utf-8")
    assert refused(ask, "check", "--config", str(config)).code == ExitCode.UNREACHABLE
    assert refused(ask, "check", "--database", "shop").code == ExitCode.USAGE


def test_schema_sql_is_written_when_it_is_stale_and_then_checks(ask: Ask, tree: Path) -> None:
    right = (tree / "schema.sql").read_text(encoding="utf-8")
    (tree / "schema.sql").unlink()
    assert ask("schema") == "migrations/schema.sql written\n"
    assert (tree / "schema.sql").read_text(encoding="utf-8") == right
    assert ask("check") == ""


def test_a_revision_that_fails_leaves_schema_sql_as_it_was(ask: Ask, tree: Path) -> None:
    replaced(
        tree / "versions" / "002_add_user_preferences.py",
        "def upgrade() -> None:\n",
        'def upgrade() -> None:\n    raise ValueError("no")\n',
    )
    before = (tree / "schema.sql").read_bytes()
    assert str(refused(ask, "schema")) == (
        "schema.sql is as it was: alembic upgrade: ValueError: no"
    )
    assert (tree / "schema.sql").read_bytes() == before


def config_for(target: Target, folder: Path) -> str:
    login = f'{{ user = "{target.user}" }}'
    return f"""
environment = "testing"
[daemon]
state_dir = "{folder}"
[backup]
dir = "{folder}"
[[databases]]
name = "shop"
dbname = "{target.dbname}"
host = "{target.host}"
port = {target.port}
monitor = {login}
backup = {login}
migrator = {login}
"""
