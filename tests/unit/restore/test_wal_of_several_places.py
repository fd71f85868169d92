"""WAL of several places: what one lacks comes from another, and of the unfinished the most."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from shippyard.backup.manifest import Manifest
from shippyard.backup.restore.physical import WalSource, WalUnusable
from shippyard.backup.restore.shelf import FolderShelf, NothingHere, Shelved, Shelves
from shippyard.backup.restore.sources import SeveralSources
from shippyard.backup.wal.archive import WalArchive

FIRST, SECOND, THIRD = (f"0000000100000000000000{number:02X}" for number in (1, 2, 3))


class Source:
    """WAL in memory; what is None is damaged."""

    def __init__(self, files: Mapping[str, bytes | None]) -> None:
        self.files = files
        self.fetched: list[str] = []

    def segments(self) -> Sequence[str]:
        return sorted(self.files)

    def fetch(self, name: str, into: Path) -> bool:
        self.fetched.append(name)
        if name not in self.files:
            return False
        content = self.files[name]
        if content is None:
            raise WalUnusable(f"{name} is damaged")
        into.write_bytes(content)
        return True


class Away:
    """A shelf off the machine."""

    def reading(self) -> AbstractContextManager[None]:
        return nullcontext()

    def __init__(self, source: WalSource | None) -> None:
        self.source = source

    def look(self) -> Shelved:
        return Shelved(())

    def at_hand(self, manifest: Manifest) -> None:
        raise AssertionError(manifest)

    def folder(self, manifest: Manifest, scratch: Path | None) -> Path:
        raise NothingHere(f"{manifest.id} {scratch}")

    def wal(self, subject: str) -> WalSource | None:
        if self.source is None:
            raise NothingHere(f"the store with {subject} does not answer")
        return self.source


def test_wal_that_is_only_off_the_machine_is_used_though_a_folder_for_it_is_here(
    tmp_path: Path,
) -> None:
    WalArchive(tmp_path, "@main").prepare()
    shelves = Shelves([FolderShelf(tmp_path, ()), Away(Source({FIRST: b"1"}))])
    wal = shelves.wal("@main")
    assert wal is not None
    assert wal.segments() == [FIRST]
    assert wal.fetch(FIRST, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"1"


def test_a_store_that_does_not_answer_is_not_taken_for_one_without_wal(tmp_path: Path) -> None:
    WalArchive(tmp_path, "@main").prepare()
    with pytest.raises(NothingHere, match="does not answer"):
        Shelves([FolderShelf(tmp_path, ()), Away(None)]).wal("@main")
    near = Away(Source({FIRST: b"1"}))
    assert Shelves([near, Away(None)]).wal("@main") is not None


def test_each_file_comes_from_the_nearest_that_has_it_good(tmp_path: Path) -> None:
    near = Source({SECOND: b"near", FIRST: None, THIRD: b"t"})
    far = Source({FIRST: b"far", SECOND: b"far"})
    wal = SeveralSources([near, far])
    for name, content in ((FIRST, b"far"), (SECOND, b"near")):
        assert wal.fetch(name, tmp_path / name)
        assert (tmp_path / name).read_bytes() == content
    assert far.fetched == [FIRST]
    assert not wal.fetch("00000002.history", tmp_path / "none")


@pytest.mark.parametrize("far_has", [b"12345\0", b"12\0\0\0\0"])
def test_of_an_unfinished_segment_the_most_is_taken(tmp_path: Path, far_has: bytes) -> None:
    near, far = Source({FIRST: b"123\0\0\0"}), Source({FIRST: far_has, SECOND: b"2"})
    assert SeveralSources([near, far]).fetch(FIRST, tmp_path / "out")
    most = max(far_has, b"123\0\0\0", key=lambda held: len(held.rstrip(b"\0")))
    assert (tmp_path / "out").read_bytes() == most
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_what_is_damaged_everywhere_is_refused(tmp_path: Path) -> None:
    wal = SeveralSources([Source({FIRST: None}), Source({FIRST: None})])
    with pytest.raises(WalUnusable, match="damaged"):
        wal.fetch(FIRST, tmp_path / "out")
