"""The archive: written once, proven, listed; survives its own death and the loss of its list."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shippyard.backup.compression import compress_file
from shippyard.backup.restore.physical import WalUnusable
from shippyard.backup.wal.archive import WalArchive, WalRefused
from shippyard.backup.wal.index import Index
from shippyard.backup.wal.names import Segment, Switch
from tests.unit.backup.wal_files import SIZE, SYSTEM, write_segment

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.fixture
def archive(tmp_path: Path) -> WalArchive:
    made = WalArchive(tmp_path, "@main")
    made.prepare()
    return made


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "pg_wal").mkdir()
    return tmp_path / "pg_wal"


def test_what_was_put_comes_back(archive: WalArchive, source: Path, tmp_path: Path) -> None:
    path = write_segment(source, 5)
    assert archive.put(path, NOW)
    assert archive.segments() == [path.name]
    assert archive.fetch(path.name, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == path.read_bytes()
    assert archive.path(path.name).stat().st_size < SIZE / 10
    assert archive.path(path.name).stat().st_mode & 0o777 == 0o600
    entry = archive.kept().entries[path.name]
    assert (entry.size_bytes, entry.at) == (SIZE, NOW)
    identity = archive.kept().identity
    assert identity is not None
    assert (identity.system_identifier, identity.segment_bytes) == (str(SYSTEM), SIZE)
    assert not archive.fetch(Segment(1, 6).name(SIZE), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_the_same_again_is_fine_and_another_content_is_refused(
    archive: WalArchive, source: Path
) -> None:
    path = write_segment(source, 5)
    assert archive.put(path, NOW)
    assert not archive.put(path, NOW)
    write_segment(source, 5, fill=b"y")
    with pytest.raises(WalRefused, match="kept with other content"):
        archive.put(path, NOW)
    assert archive.problem(path.name) is None


def test_a_damaged_copy_is_mended_by_the_same_content(archive: WalArchive, source: Path) -> None:
    path = write_segment(source, 5)
    archive.put(path, NOW)
    flip(archive.path(path.name), 50)
    assert archive.problem(path.name) is not None
    assert archive.put(path, NOW)
    assert archive.problem(path.name) is None


@pytest.mark.parametrize("at", range(0, 60, 7))
def test_a_flipped_bit_is_never_fetched(
    archive: WalArchive, source: Path, tmp_path: Path, at: int
) -> None:
    path = write_segment(source, 5, fill=bytes(range(256)))
    archive.put(path, NOW)
    stored = archive.path(path.name)
    flip(stored, stored.stat().st_size * at // 60)
    with pytest.raises(WalUnusable, match=path.name):
        archive.fetch(path.name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("lose", ["its list", "the end of its list"])
def test_a_lost_list_is_made_again_from_the_files(
    archive: WalArchive, source: Path, tmp_path: Path, lose: str
) -> None:
    for number in (5, 6):
        archive.put(write_segment(source, number), NOW)
    listing = archive.folder / ".index"
    listing.write_bytes(b"" if lose == "its list" else listing.read_bytes()[:-30])
    again = WalArchive(tmp_path, "@main")
    for name in again.stats():
        again.adopt(name, NOW)
    assert again.kept().entries.keys() == archive.stats().keys()
    assert again.kept().identity is not None


def test_after_a_kill_between_the_name_and_the_list_another_content_is_still_refused(
    archive: WalArchive, source: Path
) -> None:
    path = write_segment(source, 5)
    archive.put(path, NOW)
    (archive.folder / ".index").unlink()
    write_segment(source, 5, fill=b"y")
    with pytest.raises(WalRefused, match="kept with other content"):
        archive.put(path, NOW)


def test_a_half_written_file_of_a_killed_process_is_no_obstacle(
    archive: WalArchive, source: Path
) -> None:
    path = write_segment(source, 5)
    (archive.folder / f".{path.name}.zst.partial").write_bytes(b"half")
    assert archive.put(path, NOW)
    assert archive.stats().keys() == {path.name}


def spoilt(source: Path) -> list[tuple[Path, str]]:
    short = write_segment(source, 5)
    short.write_bytes(short.read_bytes()[:-1])
    elsewhere = write_segment(source, 6)
    elsewhere = elsewhere.rename(source / Segment(1, 7).name(SIZE))
    later = write_segment(source, 8, header_timeline=2)
    zeros = source / Segment(1, 9).name(SIZE)
    zeros.write_bytes(bytes(SIZE))
    return [
        (short, "is short"),
        (elsewhere, "differs from its name"),
        (later, "timeline 2"),
        (zeros, "does not begin as WAL"),
    ]


def test_what_is_not_what_its_name_says_is_refused(archive: WalArchive, source: Path) -> None:
    for path, why in spoilt(source):
        with pytest.raises(WalRefused, match=why):
            archive.put(path, NOW)
    assert archive.segments() == []


def test_wal_of_another_server_is_refused(archive: WalArchive, source: Path) -> None:
    archive.put(write_segment(source, 5), NOW)
    with pytest.raises(WalRefused, match="system identifier"):
        archive.put(write_segment(source, 6, system=SYSTEM + 1), NOW)


def test_the_first_segment_of_a_timeline_carries_the_headers_of_the_one_before(
    archive: WalArchive, source: Path
) -> None:
    assert archive.put(write_segment(source, 5, timeline=2, header_timeline=1), NOW)


def test_what_was_received_of_a_segment_is_given_under_its_full_name(
    archive: WalArchive, source: Path, tmp_path: Path
) -> None:
    begun = write_segment(source, 5)
    begun.rename(archive.receiving / f"{begun.name}.partial")
    (archive.receiving / f"{Segment(1, 6).name(SIZE)}.partial").touch()
    assert archive.segments() == [begun.name]  # an empty one is nothing
    assert archive.fetch(begun.name, tmp_path / "out")
    # Never over a complete one.
    whole = write_segment(source, 5, fill=b"whole")
    archive.put(whole, NOW)
    assert archive.fetch(begun.name, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == whole.read_bytes()


def test_histories_are_read(archive: WalArchive, source: Path) -> None:
    (source / "00000002.history").write_text("1\t0/5000148\twhy\n")
    archive.put(source / "00000002.history", NOW)
    (archive.receiving / "00000003.history").write_text("1\t0/5000148\tx\n2\t0/6000000\ty\n")
    assert archive.histories() == {
        2: (Switch(1, 0x5000148),),
        3: (Switch(1, 0x5000148), Switch(2, 0x6000000)),
    }


def test_what_is_removed_on_purpose_is_not_missed(archive: WalArchive, source: Path) -> None:
    names = [write_segment(source, number).name for number in (5, 6)]
    for name in names:
        archive.put(source / name, NOW)
    archive.remove(names[:1])
    assert archive.kept().entries.keys() == {names[1]}
    assert archive.segments() == names[1:]
    newest = archive.kept().newest
    assert newest is not None
    assert newest[0] == Segment(1, 6)


def test_another_process_sees_what_was_added(archive: WalArchive, tmp_path: Path) -> None:
    other = WalArchive(tmp_path, "@main")
    assert other.kept().lost == ()
    archive.declare_lost("A" * 24, "B" * 24, NOW)
    assert [(lost.first, lost.at) for lost in other.kept().lost] == [("A" * 24, NOW)]


def test_lines_of_the_list_prove_themselves(tmp_path: Path) -> None:
    index = Index(tmp_path / "list")
    index.append(("+", "one"), ("+", "two"))
    torn = (tmp_path / "list").read_bytes()[:-4]
    (tmp_path / "list").write_bytes(torn)
    index = Index(tmp_path / "list")
    index.append(("+", "three"))
    assert list(index.read()[1]) == [("+", "one"), ("+", "three")]
    assert index.damaged == 1


def test_appends_from_many_threads_are_all_there(tmp_path: Path) -> None:
    index = Index(tmp_path / "list")

    def add(number: int) -> Callable[[], None]:
        return lambda: index.append(("+", str(number)))

    threads = [threading.Thread(target=add(number)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(int(words[1]) for words in index.read()[1]) == list(range(16))


def test_the_list_is_read_again_when_it_was_replaced(tmp_path: Path) -> None:
    index = Index(tmp_path / "list")
    index.append(("+", "one"))
    generation, _ = index.read()
    (tmp_path / "list").unlink()
    assert index.read() == (generation + 1, [])


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_times_are_kept(archive: WalArchive, source: Path) -> None:
    late = NOW + timedelta(hours=3)
    archive.put(write_segment(source, 5), late)
    assert [entry.at for entry in archive.kept().entries.values()] == [late]


def test_a_whole_file_of_other_content_is_not_what_was_put(
    archive: WalArchive, source: Path, tmp_path: Path
) -> None:
    path = write_segment(source, 5)
    archive.put(path, NOW)
    archive.path(path.name).unlink()
    compress_file(write_segment(source, 5, fill=b"y"), archive.path(path.name))
    assert "not what was put" in str(archive.problem(path.name))
    with pytest.raises(WalUnusable, match="not what was put"):
        archive.fetch(path.name, tmp_path / "out")
