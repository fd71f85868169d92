"""What is visible on disk, who holds a lock, and what is visibly wrong with files."""

import os
from pathlib import Path

import pytest

from shippyard.backup.layout import FolderGone, Layout
from shippyard.backup.lock import Busy, exclusive, shared

DUMP = "20260304T050607Z-dump-1a2b3c"
SCHEMA = "20260304T050607Z-schema-1a2b3c"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path / "backups")
    made.prepare("one")
    return made


def test_a_partial_is_never_visible_until_published(layout: Layout) -> None:
    partial = layout.open_partial("one", DUMP)
    assert partial.stat().st_mode & 0o777 == 0o700
    assert (layout.published("one"), layout.partials("one")) == ([], [DUMP])
    assert layout.publish("one", DUMP) == layout.folder("one", DUMP)
    assert (layout.published("one"), layout.partials("one")) == ([DUMP], [])


def test_strangers_are_not_taken_for_backups(layout: Layout) -> None:
    for name in ("lost+found", ".snapshots", ".other.partial", f".{DUMP}.tmp"):
        (layout.root / "one" / name).mkdir()
    (layout.root / "one" / SCHEMA).write_text("a file, not a folder")
    assert (layout.published("one"), layout.partials("one")) == ([], [])
    assert layout.databases() == ["one"]
    assert Layout(layout.root / "nowhere").databases() == []


def test_removing_takes_both_halves_and_is_safe_twice(layout: Layout) -> None:
    layout.open_partial("one", DUMP)
    layout.publish("one", DUMP)
    (layout.open_partial("one", DUMP) / "half").write_text("x")
    layout.remove("one", DUMP)
    layout.remove("one", DUMP)
    assert list((layout.root / "one").iterdir()) == []


def test_a_folder_that_can_be_read_is_seen(layout: Layout) -> None:
    assert layout.unseen("one") is None
    assert layout.unseen("two") == f"{layout.root / 'two'}: No such file or directory"


@pytest.mark.parametrize("database", ["one", "new"])
@pytest.mark.parametrize("mount_point_stays", [True, False])
def test_nothing_is_made_below_a_mount_point(
    tmp_path: Path, database: str, *, mount_point_stays: bool
) -> None:
    root = tmp_path / "backups"
    if mount_point_stays:
        root.mkdir()
    with pytest.raises(FolderGone, match=f"{root}.* is gone; is it mounted"):
        Layout(root).prepare(database, {"one"})
    assert list(tmp_path.rglob("*")) == ([root] if mount_point_stays else [])


def test_a_new_database_beside_one_that_is_there_gets_its_folder(layout: Layout) -> None:
    layout.prepare("new", {"one"})
    layout.prepare("one", {"one"})
    with pytest.raises(FolderGone, match="lost is gone"):
        layout.prepare("lost", {"one", "lost"})
    assert layout.databases() == ["new", "one"]


def test_the_second_one_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    with exclusive(tmp_path / "lock", DUMP):
        with pytest.raises(Busy, match=f"{DUMP}, process {os.getpid()}"):
            with exclusive(tmp_path / "lock", SCHEMA):
                pytest.fail("two hold the lock")
    with exclusive(tmp_path / "lock", SCHEMA):
        assert (tmp_path / "lock").read_text().startswith(SCHEMA)


def test_readers_keep_a_holder_out_together(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with shared(lock), shared(lock):
        with pytest.raises(Busy), exclusive(lock, "me"):
            pass
    with exclusive(lock, "me"):
        pass


def test_a_guest_makes_no_lock_that_its_owner_could_not_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with shared(tmp_path / "lock"), shared(tmp_path / "nowhere" / "lock"):
        assert list(tmp_path.iterdir()) == []
