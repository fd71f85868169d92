"""WAL and state snapshots off the machine, and the snapshots themselves."""

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from shippyard.backup.compression import compress_file
from shippyard.backup.model import BackupFailed
from shippyard.backup.offsite.age import KeyLost
from shippyard.backup.offsite.objects import OffsiteFailed
from shippyard.backup.offsite.offsite import Offsite
from shippyard.backup.restore.physical import WalUnusable
from shippyard.backup.state_snapshot import KEPT, StateSnapshots
from shippyard.state.database import FILE_NAME, State, open_state
from shippyard.state.snapshot import SnapshotFailed, copy_state
from shippyard.state.tables import notes
from shippyard.telemetry.metrics import Metrics
from tests.conftest import FakeClock
from tests.integration.offsite.conftest import Keys, Places
from tests.integration.offsite.watched_store import WatchedStore

SEGMENT = "000000010000000000000007"
NEXT = "000000010000000000000008"


@pytest.fixture
def segment(tmp_path: Path) -> Path:
    file = tmp_path / "segment"
    file.write_bytes(b"wal" * 100_000)
    return file


class TestWal:
    def test_a_segment_comes_back_as_the_server_wrote_it(
        self, place: Offsite, segment: Path, tmp_path: Path
    ) -> None:
        packed = tmp_path / "segment.zst"
        compress_file(segment, packed)
        place.put_wal("@main", SEGMENT, packed)
        place.put_wal("@main", "00000002.history", segment)
        wal = place.wal_source("@main")
        assert wal.segments() == [SEGMENT, "00000002.history"]
        assert wal.fetch(SEGMENT, tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == segment.read_bytes()
        assert not wal.fetch(NEXT, tmp_path / "nothing")
        assert not (tmp_path / "nothing").exists()

    def test_a_partial_grows_and_goes_when_it_is_whole(
        self, place: Offsite, segment: Path, tmp_path: Path
    ) -> None:
        wal = place.wal_source("@main")
        for content in (b"first", b"first and second"):
            segment.write_bytes(content)
            place.put_wal("@main", f"{SEGMENT}.partial", segment)
            assert wal.segments() == [SEGMENT]
            assert wal.fetch(SEGMENT, tmp_path / "back")
            assert (tmp_path / "back").read_bytes() == content
        segment.write_bytes(b"whole")
        place.put_wal("@main", SEGMENT, segment)
        assert wal.names() == [SEGMENT]
        assert wal.fetch(SEGMENT, tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == b"whole"

    def test_a_late_partial_hides_no_whole_segment(
        self, place: Offsite, segment: Path, tmp_path: Path
    ) -> None:
        place.put_wal("@main", SEGMENT, segment)
        (tmp_path / "late").write_bytes(b"less")
        place.put_wal("@main", f"{SEGMENT}.partial", tmp_path / "late")
        wal = place.wal_source("@main")
        assert wal.segments() == [SEGMENT]
        assert wal.fetch(SEGMENT, tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == segment.read_bytes()

    def test_a_whole_segment_is_never_written_over(
        self, place: Offsite, segment: Path, store: WatchedStore
    ) -> None:
        place.put_wal("@main", SEGMENT, segment)
        sent = len(store.put_keys)
        place.put_wal("@main", SEGMENT, segment)
        assert len(store.put_keys) == sent
        segment.write_bytes(b"another")
        with pytest.raises(OffsiteFailed, match="with another content"):
            place.put_wal("@main", SEGMENT, segment)

    def test_a_changed_one_is_not_given_to_a_recovery(
        self, place: Offsite, segment: Path, bucket: Path, tmp_path: Path
    ) -> None:
        place.put_wal("@main", SEGMENT, segment)
        stored = bucket / "@main" / "wal" / SEGMENT
        data = bytearray(stored.read_bytes())
        data[-1] ^= 1
        stored.write_bytes(data)
        with pytest.raises(WalUnusable, match="was changed or cut"):
            place.wal_source("@main").fetch(SEGMENT, tmp_path / "back")

    def test_one_segment_does_not_pass_for_another(
        self, place: Offsite, segment: Path, bucket: Path, tmp_path: Path
    ) -> None:
        place.put_wal("@main", SEGMENT, segment)
        folder = bucket / "@main" / "wal"
        (folder / SEGMENT).rename(folder / NEXT)
        with pytest.raises(WalUnusable, match=f"holds what belongs to @main/wal/{SEGMENT}"):
            place.wal_source("@main").fetch(NEXT, tmp_path / "back")

    def test_it_is_encrypted_too(
        self, place_of: Places, keys: Keys, segment: Path, bucket: Path, tmp_path: Path
    ) -> None:
        place_of(keys.first, keys.second).put_wal("@main", SEGMENT, segment)
        assert b"age-encryption.org" in (bucket / "@main" / "wal" / SEGMENT).read_bytes()
        with pytest.raises(KeyLost):
            place_of().wal_source("@main").fetch(SEGMENT, tmp_path / "back")
        assert place_of(identity="second").wal_source("@main").fetch(SEGMENT, tmp_path / "back")

    def test_what_is_no_wal_is_refused(self, place: Offsite, segment: Path) -> None:
        with pytest.raises(OffsiteFailed, match="not a name of WAL"):
            place.put_wal("@main", "../manifest.json", segment)


class TestState:
    def test_a_snapshot_is_a_state_that_opens(
        self, state: State, clock: FakeClock, tmp_path: Path
    ) -> None:
        with state.write() as connection:
            connection.execute(insert(notes).values(name="n", value=1, at=clock.now()))
            into = tmp_path / "again"
            into.mkdir()
            # While a writer holds its lock: what is not committed yet is not in it.
            copy_state(tmp_path / "state" / FILE_NAME, into / FILE_NAME)
        with open_state(into) as again, again.read() as connection:
            assert connection.scalar(select(notes.c.value)) is None
        (into / FILE_NAME).unlink()
        copy_state(tmp_path / "state" / FILE_NAME, into / FILE_NAME)
        assert [path.name for path in into.iterdir() if path.suffix == ".sqlite3"] == [FILE_NAME]
        assert (into / FILE_NAME).stat().st_mode & 0o777 == 0o600
        with open_state(into) as again, again.read() as connection:
            assert connection.scalar(select(notes.c.value)) == 1

    def test_a_damaged_state_gives_none(self, tmp_path: Path) -> None:
        source = tmp_path / "state.sqlite3"
        database = sqlite3.connect(source)
        with database:
            database.execute("CREATE TABLE t (a TEXT)")
            database.executemany("INSERT INTO t VALUES (?)", [(str(n) * 500,) for n in range(99)])
        database.close()
        data = bytearray(source.read_bytes())
        data[8192:12288] = b"\xff" * 4096
        source.write_bytes(data)
        with pytest.raises(SnapshotFailed):
            copy_state(source, tmp_path / "copy")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["state.sqlite3"]

    def test_the_newest_are_kept_here_and_there(
        self, state: State, place_of: Places, keys: Keys, clock: FakeClock, tmp_path: Path
    ) -> None:
        place = place_of(keys.first, identity="first")
        snapshots = StateSnapshots(
            tmp_path / "state" / FILE_NAME,
            tmp_path,
            clock=clock,
            metrics=Metrics(),
            off_machine=lambda: place.states,
        )
        taken = []
        for _ in range(KEPT + 2):
            taken.append(snapshots.take())
            clock.advance(0.001)
        assert snapshots.snapshots() == sorted(taken, reverse=True)[:KEPT]
        assert place.list_state() == [path.name for path in snapshots.snapshots()]
        newest = place.list_state()[0]
        (tmp_path / "back").mkdir()
        back = place.fetch_state(newest, tmp_path / "back")
        assert back.read_bytes() == taken[-1].read_bytes()

    def test_a_store_that_fails_leaves_it_here_and_says_so(
        self, state: State, place: Offsite, bucket: Path, clock: FakeClock, tmp_path: Path
    ) -> None:
        bucket.rmdir()
        metrics = Metrics()
        snapshots = StateSnapshots(
            tmp_path / "state" / FILE_NAME,
            tmp_path,
            clock=clock,
            metrics=metrics,
            off_machine=lambda: place.states,
        )
        with pytest.raises(BackupFailed, match=r"on this machine alone: .*is it mounted"):
            snapshots.take()
        assert len(snapshots.snapshots()) == 1
        assert metrics.offsite_errors.labels("state")._value.get() == 1
