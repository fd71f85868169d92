"""`shippyard migration rehearse`: a tree tried on a folder of backups, as CI does it."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from proofs.gate.course import Change, execute, write_tree
from proofs.gate.stage import BASE, MOVER, Stage, stage
from proofs.program import Ran, shippyard

GOODS = (
    "CREATE TABLE goods (id int PRIMARY KEY, name text)",
    "INSERT INTO goods SELECT n, 'good ' || n FROM generate_series(1, 500) n",
)
ADDS = Change(
    execute("ALTER TABLE goods ADD COLUMN color text"),
    execute("ALTER TABLE goods DROP COLUMN color"),
)
BREAKS = Change(execute("ALTER TABLE goods ADD CHECK (id < 100)"))
CONFIG = """
environment = "testing"
[daemon]
state_dir = "{folder}/state"
[[databases]]
name = "shop"
host = "/nonexistent"
dbname = "shop"
monitor = {{ user = "postgres" }}
backup = {{ user = "postgres" }}
migrator = {{ user = "{mover}" }}
[backup]
dir = "{backups}"
[backup.clusters.main]
wal = "off"
"""


@pytest.fixture(scope="module")
def backed_up() -> Iterator[Stage]:
    """Backups of a production that CI can't reach."""
    folder = Path(tempfile.mkdtemp(prefix="shippyard-ci-"))
    folder.chmod(0o755)
    try:
        with stage(folder, *GOODS) as made:
            made.yard.back_up("dump")
            made.yard.back_up("base")
            yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def rehearse(made: Stage, tmp_path: Path, change: Change, *more: str, backups: str = "") -> Ran:
    ini = write_tree(tmp_path / "tree", {**BASE, "001": change})
    config = tmp_path / "ci.toml"
    kept = backups or f"{made.folder}/backups"
    config.write_text(CONFIG.format(folder=made.folder, mover=MOVER, backups=kept))
    return shippyard("migration", "rehearse", "--config", str(config), "--tree", str(ini), *more)


def test_a_tree_is_tried_on_the_newest_base_backup(backed_up: Stage, tmp_path: Path) -> None:
    summary = tmp_path / "pr.md"
    ran = rehearse(backed_up, tmp_path, ADDS, "--json", "--markdown", str(summary))
    assert ran.returncode == 0, ran.stderr
    report = ran.document
    assert (report["outcome"], report["comes_back"]) == ("passed", True)
    assert "base" in report["backup_id"]
    assert "### Rehearsal of shop `000` → `001`: passed" in summary.read_text()
    backup = next(b for b in backed_up.yard.service.history() if b.id == report["backup_id"])
    assert backup.drilled_at is None, "the folder is only read"


def test_what_fails_ends_with_one(backed_up: Stage, tmp_path: Path) -> None:
    ran = rehearse(backed_up, tmp_path, BREAKS)
    assert ran.returncode == 1
    assert "check constraint" in ran.stderr.splitlines()[-1]


def test_without_a_backup_it_could_not_be_tried(backed_up: Stage, tmp_path: Path) -> None:
    empty = tmp_path / "none"
    empty.mkdir()
    ran = rehearse(backed_up, tmp_path, ADDS, backups=str(empty))
    assert ran.returncode == 3
    assert "no verified backup of shop" in ran.stderr.splitlines()[-1]


def test_a_revision_that_is_not_there_is_blocked(backed_up: Stage, tmp_path: Path) -> None:
    ran = rehearse(backed_up, tmp_path, ADDS, "777")
    assert ran.returncode == 3
    assert "unknown revision '777'" in ran.stderr.splitlines()[-1]
