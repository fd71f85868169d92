"""Making a revision: it gets the next number, and files with wrong names are refused."""

import shutil
from pathlib import Path

import pytest

from shippyard.postgres.target import Target
from shippyard.setup.schema import url_of
from tests.integration.migrations_tree.shippyar_tree import MIGRATIONS, PlainAlembic


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy to write into."""
    return Path(shutil.copytree(MIGRATIONS, tmp_path / "tree"))


@pytest.fixture
def next_id() -> str:
    return f"{len(list((MIGRATIONS / 'versions').glob('[0-9]*.py'))) + 1:03d}"


def test_a_new_revision_gets_the_next_number_without_a_database(
    alembic: PlainAlembic, tree: Path, next_id: str
) -> None:
    done = alembic("revision", "-m", "Add the thing", tree=tree)
    assert done.returncode == 0, done.stdout + done.stderr
    written = (tree / "versions" / f"{next_id}_add_the_thing.py").read_text()
    assert f"revision: str = '{next_id}'" in written
    assert "What running code sees" in written
    again = alembic("revision", "-m", "Another", tree=tree)
    assert again.returncode == 0, again.stdout + again.stderr
    assert list((tree / "versions").glob(f"{int(next_id) + 1:03d}_another.py"))


def test_autogenerate_gets_the_next_number_and_sees_a_new_column(
    alembic: PlainAlembic, tree: Path, next_id: str, at_head: Target
) -> None:
    models = tree / "models" / "parties.py"
    before = models.read_text(encoding="utf-8")
    models.write_text(
        before.replace(
            "    phone: Mapped[str | None]",
            "    nick: Mapped[str | None]\n    phone: Mapped[str | None]",
        ),
        encoding="utf-8",
    )
    done = alembic("revision", "--autogenerate", "-m", "Nick", tree=tree, url=url_of(at_head))
    assert done.returncode == 0, done.stdout + done.stderr
    written = (tree / "versions" / f"{next_id}_nick.py").read_text()
    assert "op.add_column('users', sa.Column('nick', sa.Text(), nullable=True))" in written
    assert "op.drop_column('users', 'nick')" in written


def test_a_number_out_of_turn_is_refused(alembic: PlainAlembic, tree: Path, next_id: str) -> None:
    done = alembic("revision", "-m", "Later", "--rev-id", "900", tree=tree)
    assert done.returncode != 0
    assert f"the next revision is {next_id}, not 900" in done.stdout
    assert not list((tree / "versions").glob("900*"))


def test_a_misnamed_file_is_refused_with_the_right_name(alembic: PlainAlembic, tree: Path) -> None:
    versions = tree / "versions"
    (versions / "002_add_user_preferences.py").rename(versions / "prefs.py")
    done = alembic("upgrade", "head", "--sql", tree=tree)
    assert done.returncode != 0
    assert "prefs.py: rename it to 002_add_user_preferences.py" in done.stdout
