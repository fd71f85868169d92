"""Files appear whole or not at all."""

from pathlib import Path

import pytest

from shippyard.host.files import fsync_tree, publish, sha256_of, write_atomically


def test_written_file_has_its_content_and_mode(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    write_atomically(path, b"{}")
    assert path.read_bytes() == b"{}"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "manifest.json"
    write_atomically(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"


def test_publishing_a_folder_gives_it_its_name(tmp_path: Path) -> None:
    partial = tmp_path / ".x.partial"
    partial.mkdir()
    (partial / "a").write_bytes(b"1")
    fsync_tree(partial)
    publish(partial, tmp_path / "x")
    assert (tmp_path / "x" / "a").read_bytes() == b"1"
    assert not partial.exists()


def test_sha256_is_of_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"a" * 3_000_000)
    before = sha256_of(path)
    path.write_bytes(b"a" * 2_999_999 + b"b")
    assert sha256_of(path) != before
