"""Who else could write a tree: every file, and every folder above it."""

import os
from pathlib import Path

import pytest

from shippyard.migration.exposure import exposed
from shippyard.migration.tree import read_tree

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def ini(tmp_path: Path) -> Path:
    """A tree that is ours alone."""
    versions = tmp_path / "shop" / "migrations" / "versions"
    versions.mkdir(parents=True)
    made = tmp_path / "shop" / "alembic.ini"
    made.write_text("[alembic]\nscript_location = %(here)s/migrations\n")
    (versions.parent / "env.py").write_text("")
    (versions / "001_first.py").write_text("revision = '001'\n")
    for path in (tmp_path / "shop").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (tmp_path / "shop").chmod(0o755)
    return made


def test_a_tree_of_ours_alone_under_a_sticky_folder_is_fine(ini: Path) -> None:
    ini.parent.chmod(0o1777)
    assert read_tree(ini).exposed is None


@NEEDS_ROOT
@pytest.mark.parametrize(
    "place",
    [
        "shop",
        "shop/alembic.ini",
        "shop/migrations",
        "shop/migrations/env.py",
        "shop/migrations/versions",
        "shop/migrations/versions/001_first.py",
    ],
)
@pytest.mark.parametrize(("bit", "says"), [(0o002, "chmod o-w"), (0o020, "chmod g-w")])
def test_what_others_could_write_is_named_with_what_to_type(
    ini: Path, tmp_path: Path, place: str, bit: int, says: str
) -> None:
    path = tmp_path / place
    os.chown(path, -1, 1)  # a group of nobody's own
    path.chmod(path.stat().st_mode | bit)
    assert str(read_tree(ini).exposed).endswith(f"{says} {path}")


def test_a_sticky_folder_in_the_tree_takes_new_files_and_is_named(ini: Path) -> None:
    versions = ini.parent / "migrations" / "versions"
    versions.chmod(0o1777)
    assert read_tree(ini).exposed == (
        f"{versions} may be written by everybody: chmod o-w {versions}"
    )


def test_a_link_is_followed_to_where_the_file_lies(ini: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    real = elsewhere / "real.py"
    real.write_text("revision = '002'\n")
    (ini.parent / "migrations" / "versions" / "002_second.py").symlink_to(real)
    real.chmod(0o666)
    assert read_tree(ini).exposed == f"{real} may be written by everybody: chmod o-w {real}"


@NEEDS_ROOT
def test_what_belongs_to_another_user_is_named(ini: Path) -> None:
    os.chown(ini, 20077, -1)
    assert read_tree(ini).exposed == f"{ini} belongs to 20077: chown root {ini}"


def test_a_file_that_went_away_is_not_fine(tmp_path: Path) -> None:
    assert "not known" in str(exposed([tmp_path / "gone"], tmp_path / "scripts"))
