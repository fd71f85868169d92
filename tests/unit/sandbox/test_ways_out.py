"""Whether a folder is closed in itself."""

import os
from pathlib import Path

import pytest

from shippyard.sandbox.links import mapped_out, ways_out


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    data = tmp_path / "sandbox" / "data"
    (data / "pg_tblspc").mkdir(parents=True)
    (tmp_path / "sandbox" / "tablespaces" / "1").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (data / "file").write_text("x")
    return data


def found(data_dir: Path) -> list[str]:
    return ways_out(data_dir.parent, data_dir)


def test_a_closed_folder(data_dir: Path) -> None:
    (data_dir / "pg_tblspc" / "1").symlink_to(data_dir.parent / "tablespaces" / "1")
    (data_dir / "inside").symlink_to("file")
    (data_dir / "tablespace_map").write_text(f"1 {data_dir.parent}/tablespaces/1\n")
    assert found(data_dir) == []


@pytest.mark.parametrize("to", ["../../../outside", "/etc", "../../../sandbox-2"])
def test_links_that_leave(data_dir: Path, to: str) -> None:
    (data_dir / "pg_tblspc" / "2").symlink_to(to)
    assert len(found(data_dir)) == 2
    assert list(mapped_out(data_dir.parent, data_dir))


def test_a_link_by_way_of_another(data_dir: Path, tmp_path: Path) -> None:
    (data_dir / "a").symlink_to(tmp_path / "outside")
    (data_dir / "b").symlink_to("a")
    assert len(found(data_dir)) == 2


def test_a_map_that_leaves(data_dir: Path) -> None:
    (data_dir / "tablespace_map").write_text("1 /srv/one\n2 /srv/two words\n")
    assert found(data_dir) == [
        "tablespace 1 is mapped to /srv/one",
        "tablespace 2 is mapped to /srv/two words",
    ]


def test_a_shared_file_and_a_pipe(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "outside" / "file").write_text("y")
    os.link(tmp_path / "outside" / "file", data_dir / "linked")
    os.mkfifo(data_dir / "pipe")
    assert sorted(line.rpartition(" is ")[2] for line in found(data_dir)) == [
        "no file, folder or link",
        "shared with another name",
    ]


def test_only_a_few_are_named(data_dir: Path) -> None:
    for number in range(20):
        (data_dir / f"l{number}").symlink_to("/etc")
    assert len(found(data_dir)) == 3
