"""Artifacts that are cut, flipped or gone: found before they are counted, and after."""

import errno
from pathlib import Path
from typing import Any, NoReturn

import pytest
from structlog.testing import capture_logs

from shippyard.backup.catalog import Catalog
from shippyard.backup.model import BackupFailed, moved
from shippyard.host.process import Processes
from shippyard.postgres.target import Target
from shippyard.postgres.tools import Tools, tools_for
from tests.integration.backup.conftest import MakeYard, Yard


@pytest.fixture
def tools(processes: Processes) -> Tools:
    return tools_for(processes, 15)


def cut_in_half(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.truncate(file.stat().st_size // 2)


def flip_a_bit(file: Path, at: int) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 0x10
    file.write_bytes(data)


def test_a_cut_backup_stops_counting_by_itself(yard: Yard, shop: Target) -> None:
    good = yard.service.run("shop", "dump", "manual")
    yard.clock.advance(60)
    bad = yard.service.run("shop", "dump", "manual")
    cut_in_half(yard.file(bad.id))
    newest = yard.service.newest("shop")
    assert newest is not None
    assert newest.id == good.id
    assert yard.service.find(bad.id).state == "missing"
    assert yard.gauge("last_success_timestamp_seconds") == good.started_at.timestamp()
    assert f"dump backup of shop failed: missing: {yard.root}" in str(yard.errors()[-1])


@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_a_flipped_bit_is_found_and_the_backup_no_longer_counts(
    yard: Yard, shop: Target, part: float
) -> None:
    backup = yard.service.run("shop", "dump", "manual")
    file = yard.file(backup.id)
    at = int(file.stat().st_size * part)
    flip_a_bit(file, at)
    verified = yard.service.verify(backup.id)
    assert not verified.ok
    assert verified.problems[0] == f"{file.name}: sha256 differs from the manifest's"
    assert yard.service.find(backup.id).state == "damaged"
    assert yard.service.newest("shop") is None
    assert yard.gauge("last_success_timestamp_seconds") is None
    assert yard.gauge("published") == 0
    flip_a_bit(file, at)
    assert yard.service.verify(backup.id).ok
    assert [event.what for event in yard.service.manifest_of(backup.id).history] == [
        "damaged",
        "verified",
    ]
    assert yard.service.find(backup.id).state == "published"
    assert yard.service.find(backup.id).error is None
    assert yard.gauge("published") == 1


def test_a_flipped_manifest_or_schema_is_found(yard: Yard, shop: Target) -> None:
    backup = yard.service.run("shop", "schema", "manual")
    flip_a_bit(yard.service.path(backup) / "schema.sql", 700)
    assert yard.service.verify(backup.id).problems == (
        "schema.sql: sha256 differs from the manifest's",
    )
    flip_a_bit(yard.service.path(backup) / "manifest.json", 0)
    assert yard.service.verify(backup.id).problems == ("this is not a signed manifest",)


def test_a_missing_backup_comes_back_with_its_files(yard: Yard, shop: Target) -> None:
    backup = yard.service.run("shop", "dump", "manual")
    folder = yard.service.path(backup)
    folder.rename(folder.with_name("elsewhere"))
    assert yard.service.recover().missing == (backup.id,)
    lost = yard.service.find(backup.id)
    assert lost.state == "missing"
    assert lost.error is not None
    assert "manifest.json: No such file" in lost.error
    assert not yard.service.verify(backup.id).ok
    folder.with_name("elsewhere").rename(folder)
    newest = yard.service.newest("shop")
    assert newest is not None
    assert newest.id == backup.id
    assert yard.service.find(backup.id) == backup
    assert yard.gauge("published") == 1
    assert yard.errors()[-1] is None


@pytest.mark.parametrize("what", ["root", "folder", "unreadable"])
def test_a_disk_that_is_away_changes_nothing(
    yard: Yard, shop: Target, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = yard.service.run("shop", "dump", "manual")
    away = yard.root if what == "root" else yard.root / "shop"
    told = list(yard.told)
    with monkeypatch.context() as patched, capture_logs() as logs:
        if what == "unreadable":
            patched.setattr("shippyard.backup.layout.os.scandir", _denied)
        else:
            away.rename(away.with_name("away"))
        assert yard.service.newest("shop") is None
        assert yard.service.newest("shop") is None
        assert yard.service.prune(apply=True).decisions == ()
        assert yard.service.recover().missing == ()
        with pytest.raises(BackupFailed, match=f"{backup.id} can't be looked at: .*is it mounted"):
            yard.service.verify(backup.id)
        assert yard.service.find(backup.id) == backup
        if what != "unreadable":
            with pytest.raises(BackupFailed, match=f"{away} is gone; is it mounted"):
                yard.service.run("shop", "dump", "manual")
            assert not away.exists()
            away.with_name("away").rename(away)
    newest = yard.service.newest("shop")
    assert newest is not None
    assert newest.id == backup.id
    assert [said["event"] for said in logs].count("backup.unseen") == 1
    assert yard.told[: len(told)] == told
    assert not any("missing" in str(error) for error in yard.errors())


def _denied(path: object) -> NoReturn:
    raise PermissionError(errno.EACCES, "Permission denied", str(path))


@pytest.mark.parametrize("call", ["is_dir", "mkdir", "iterdir"])
def test_an_unreadable_folder_is_one_line(
    yard: Yard, shop: Target, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied_below_root(path: Path, *rest: Any, **more: Any) -> Any:
        return _denied(path) if path.is_relative_to(yard.root) else real(path, *rest, **more)

    real = getattr(Path, call)
    if call != "mkdir":
        yard.service.run("shop", "schema", "manual")
        yard.clock.advance(60)
    with monkeypatch.context() as patched:
        patched.setattr(Path, call, denied_below_root)
        yard.service.recover()
        yard.service.prune(apply=True)
        assert yard.service.newest("shop") is None
        if call == "iterdir":
            return
        with pytest.raises(BackupFailed, match=r"dump backup of shop: .*Permission denied") as said:
            yard.service.run("shop", "dump", "manual")
    assert "\n" not in str(said.value)
    failed = yard.service.history("shop")[0]
    assert (failed.state, failed.error) == ("failed", str(said.value))
    assert str(said.value) in str(yard.errors()[-1])


def test_what_is_marked_for_deletion_waits_for_its_disk(yard: Yard, shop: Target) -> None:
    backup = yard.service.run("shop", "dump", "manual")
    Catalog(yard.state).move(backup, moved(backup, "expired"))
    folder = yard.root / "shop"
    folder.rename(folder.with_name("away"))
    assert yard.service.recover().deleted == ()
    assert yard.service.find(backup.id).state == "expired"
    folder.with_name("away").rename(folder)
    assert yard.service.recover().deleted == (backup.id,)
    assert yard.visible() == []


def test_what_has_no_files_can_not_be_verified(make_yard: MakeYard, tmp_path: Path) -> None:
    yard = make_yard(target=Target(str(tmp_path), 5999, "shop", "nobody"))
    with pytest.raises(BackupFailed):
        yard.service.run("shop", "dump", "manual")
    failed = yard.service.history()[0]
    with pytest.raises(BackupFailed, match=f"{failed.id} is failed: it has no files"):
        yard.service.verify(failed.id)
    with pytest.raises(BackupFailed, match="no backup nosuch; see `shippyard ctl backup list"):
        yard.service.verify("nosuch")


def test_a_tool_that_lies_about_success_publishes_nothing(
    make_yard: MakeYard, shop: Target, tools: Tools, tmp_path: Path
) -> None:
    """Exit status 0 is no proof: this pg_dump writes half a file and is content."""
    folder = tmp_path / "liars"
    folder.mkdir()
    real = tools.path("pg_dump")
    for program in ("pg_restore", "pg_dumpall"):
        (folder / program).symlink_to(tools.path(program))
    (folder / "pg_dump").write_text(
        f"""#!/bin/sh
        case "$*" in *--format=custom*) {real} "$@" | head --bytes=-20000;; *) {real} "$@";; esac
        """
    )
    (folder / "pg_dump").chmod(0o755)
    yard = make_yard(tools_dirs=(folder,))
    with pytest.raises(BackupFailed, match=r"shop.dump.*end of file"):
        yard.service.run("shop", "dump", "manual")
    assert yard.visible() == []
    assert yard.service.newest("shop") is None
