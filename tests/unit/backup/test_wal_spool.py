"""Pushing: on disk or refused, twice is fine, and it is taken into the archive once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shippyard.backup.wal.archive import WalArchive
from shippyard.backup.wal.push import PushRefused, push
from shippyard.backup.wal.spool import Spool
from tests.conftest import FakeClock
from tests.unit.backup.wal_files import write_segment


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "pg_wal").mkdir()
    return tmp_path / "pg_wal"


@pytest.fixture
def spool(tmp_path: Path, clock: FakeClock) -> Spool:
    (tmp_path / "spool").mkdir()
    archive = WalArchive(tmp_path, "@main")
    archive.prepare()
    return Spool(tmp_path / "spool", archive, clock)


def drain(spool: Spool) -> int:
    return spool.drain(lambda: False)


def test_what_is_pushed_is_there_and_nothing_else(source: Path, spool: Spool) -> None:
    path = write_segment(source, 5)
    assert push(path, spool.folder)
    assert os.listdir(spool.folder) == [path.name]  # noqa: PTH208
    assert (spool.folder / path.name).read_bytes() == path.read_bytes()
    assert (spool.folder / path.name).stat().st_mode & 0o777 == 0o644


def test_the_same_again_is_fine_before_and_after_it_was_taken(source: Path, spool: Spool) -> None:
    path = write_segment(source, 5)
    assert push(path, spool.folder)
    assert not push(path, spool.folder)
    assert drain(spool) == 1
    assert spool.waiting() == []
    assert not push(path, spool.folder)
    assert spool.waiting() == []


def test_another_content_is_refused_before_and_after_it_was_taken(
    source: Path, spool: Spool
) -> None:
    path = write_segment(source, 5)
    push(path, spool.folder)
    write_segment(source, 5, fill=b"y")
    with pytest.raises(PushRefused, match="other content"):
        push(path, spool.folder)
    drain(spool)
    with pytest.raises(PushRefused, match="other content"):
        push(path, spool.folder)


def test_what_the_archive_refuses_stays_and_is_told(source: Path, spool: Spool) -> None:
    push(write_segment(source, 5), spool.folder)
    drain(spool)
    (spool.folder / ".taken").unlink()
    path = write_segment(source, 5, fill=b"y")
    push(path, spool.folder)
    assert drain(spool) == 0
    assert spool.waiting() == [path.name]
    assert "kept with other content" in spool.refused[path.name]


@pytest.mark.parametrize("name", ["postgresql.conf", "x", "000000010000000000000001.zst"])
def test_what_is_no_wal_is_refused(source: Path, spool: Spool, name: str) -> None:
    (source / name).write_text("x")
    with pytest.raises(PushRefused, match="no WAL file"):
        push(source / name, spool.folder)


def test_without_a_spool_it_says_how_to_make_one(source: Path, tmp_path: Path) -> None:
    with pytest.raises(PushRefused, match="systemd-tmpfiles"):
        push(write_segment(source, 5), tmp_path / "nowhere")


def test_what_a_killed_push_left_is_swept(spool: Spool, clock: FakeClock) -> None:
    left = spool.folder / ".000000010000000000000005.1.partial"
    left.write_bytes(b"half")
    os.utime(left, (clock.now().timestamp(),) * 2)
    drain(spool)
    assert left.exists()
    clock.advance(4000)
    drain(spool)
    assert not left.exists()


def test_the_list_of_what_was_taken_is_bounded(
    source: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shippyard.backup.wal.spool.LISTED_MAX", 3)
    for number in range(5):
        push(write_segment(source, number), spool.folder)
    assert drain(spool) == 5
    assert len((spool.folder / ".taken").read_text().splitlines()) == 3


def test_pushing_imports_next_to_nothing() -> None:
    """archive_command starts it for every segment."""
    program = "import sys, shippyard.cli.wal; print('\\n'.join(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    for heavy in ("pydantic", "psycopg", "sqlalchemy", "structlog", "zstandard", "hashlib"):
        assert heavy not in loaded
