"""Plans rehearsed on real backups of a production: what passes, what is found, what is left."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from proofs.backup.drillyard import SHOP
from proofs.gate.course import Change, execute
from proofs.gate.stage import Stage, stage

GOODS = (
    "CREATE TABLE goods (id int PRIMARY KEY, name text NOT NULL, shelf int)",
    "INSERT INTO goods SELECT n, 'good ' || n, n % 7 FROM generate_series(1, 2000) n",
    "CREATE INDEX goods_shelf ON goods (shelf)",
    "CREATE VIEW full_shelves AS SELECT shelf, count(*) AS goods FROM goods GROUP BY shelf",
)
EXPAND = {
    "001": Change(
        execute(
            "ALTER TABLE goods ADD COLUMN color text",
            "CREATE TABLE shelves (id int PRIMARY KEY, room text)",
        ),
        execute("DROP TABLE shelves", "ALTER TABLE goods DROP COLUMN color"),
    )
}


@pytest.fixture(scope="module")
def ground() -> Iterator[Stage]:
    """Production at 000 with one dump."""
    folder = Path(tempfile.mkdtemp(prefix="shippyard-rehearsals-"))
    folder.chmod(0o755)
    try:
        with stage(folder, *GOODS) as made:
            made.yard.back_up("dump")
            yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_a_plan_that_comes_back_passes_and_is_a_drill(ground: Stage) -> None:
    report = ground.rehearse(EXPAND)
    assert (report.outcome, report.error) == ("passed", None)
    assert report.comes_back, report
    assert [each.way for each in report.passages] == ["up", "down", "again"]
    assert set(report.revision_elapsed_s) == {"001"}
    up = report.passages[0].recorded
    assert ("AccessExclusiveLock", "public.goods") in {(x.mode, x.relation) for x in up.locks}
    drill = ground.yard.drills.history(SHOP)[0]
    assert (drill.reason, drill.outcome, drill.backup_id) == (
        "rehearsal",
        "passed",
        report.backup_id,
    )
    assert list((ground.folder / "sandboxes").iterdir()) == []


def test_an_older_backup_is_brought_to_where_production_is(ground: Stage) -> None:
    ground.migrate(EXPAND)
    later = {**EXPAND, "002": Change(execute("ALTER TABLE shelves ADD COLUMN floor int"))}
    try:
        report = ground.rehearse(later)
    finally:
        ground.yard.run(
            "DROP TABLE shelves",
            "ALTER TABLE goods DROP COLUMN color",
            "UPDATE alembic_version SET version_num = '000'",
        )
    assert (report.outcome, report.error) == ("passed", None)
    assert "the backup is older than 001, which ran first" in report.differs
    assert set(report.revision_elapsed_s) == {"002"}


def test_values_that_do_not_come_back_are_told(ground: Stage) -> None:
    lossy = Change(
        execute("ALTER TABLE goods DROP COLUMN shelf CASCADE"),
        execute("ALTER TABLE goods ADD COLUMN shelf int"),
    )
    report = ground.rehearse({"001": lossy})
    assert report.outcome == "passed"
    assert not report.comes_back
    assert any("goods.shelf" in line for line in report.losses), report.losses
    assert any("full_shelves" in line for line in report.schema_differences)


def test_values_written_over_are_named(ground: Stage) -> None:
    change = Change(execute("UPDATE goods SET name = upper(name)"))
    report = ground.rehearse({"001": change})
    assert report.changed == ("public.goods.name",)
    assert any("goods.name: its values are not as before" in each for each in report.losses)


def test_what_fails_on_real_data_fails(ground: Stage) -> None:
    report = ground.rehearse({"001": Change(execute("ALTER TABLE goods ADD CHECK (id < 1000)"))})
    assert report.outcome == "failed"
    assert "check constraint" in (report.error or "")
    assert not report.comes_back


def test_a_way_back_that_fails_is_told(ground: Stage) -> None:
    change = Change(execute("ALTER TABLE goods ADD COLUMN c int"), execute("DROP TABLE nowhere"))
    report = ground.rehearse({"001": change})
    assert report.outcome == "passed"
    assert not report.comes_back
    assert "nowhere" in (report.passages[1].error or "")


def test_another_schema_than_production_is_no_rehearsal(ground: Stage) -> None:
    ground.yard.run("ALTER TABLE goods ADD COLUMN by_hand int")
    try:
        report = ground.rehearse(EXPAND)
    finally:
        ground.yard.run("ALTER TABLE goods DROP COLUMN by_hand")
    assert report.outcome == "blocked"
    assert "by_hand" in (report.error or "")


def test_it_ends_when_its_time_is_up(ground: Stage) -> None:
    slow = Change(execute("SELECT pg_sleep(600)"))
    report = ground.rehearse({"001": slow}, rehearsal_timeout_s=1.5)
    assert report.outcome == "interrupted"
    assert "rehearsal_timeout_s" in (report.error or "")
    assert list((ground.folder / "sandboxes").iterdir()) == []


def test_without_a_backup_it_is_blocked(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    folder = Path(tempfile.mkdtemp(prefix="shippyard-rehearsals-"))
    folder.chmod(0o755)
    try:
        with stage(folder, *GOODS) as made:
            report = made.rehearse(EXPAND)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    assert report.outcome == "blocked"
    assert "shippyard ctl backup run shop" in (report.error or "")
