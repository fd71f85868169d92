"""Recovery gets every segment that is kept, or ends with the name of the one that it lacks."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from shippyard.backup.restore.physical import RestoreRefused
from shippyard.backup.restore.plan import plan_recovery
from shippyard.backup.restore.point import LATEST, Point, PointUnreachable, parse_point
from shippyard.host.process import Processes
from shippyard.postgres.tools import server_tools
from tests.integration.restore.base_ground import Archive, DidNotRecover, Ground, grounded


@pytest.fixture(scope="module")
def ground(processes: Processes) -> Iterator[Ground]:
    with grounded(processes, server_tools(processes).major) as made:
        yield made


@pytest.fixture
def base(ground: Ground) -> Iterator[None]:
    """A base backup of an empty table, and an archive of its own."""
    ground.execute("TRUNCATE t")
    ground.switch()
    ground.base()
    yield
    ground.archive.damaged.clear()


@pytest.fixture
def copy(ground: Ground, tmp_path: Path) -> Archive:
    """The archive once more, for a test to spoil; filled by `take`."""
    return Archive(tmp_path)


def take(ground: Ground, copy: Archive) -> None:
    shutil.copytree(ground.archive.folder, copy.folder, dirs_exist_ok=True)


@pytest.mark.usefixtures("base")
def test_a_hole_before_the_latest_point_is_refused(ground: Ground, copy: Archive) -> None:
    names = ground.segments(1, 2, 3, 4)
    take(ground, copy)
    (copy.folder / names[2]).unlink()
    manifest = ground.bases[-1][1]
    with pytest.raises(PointUnreachable, match=f"{names[2]} is missing"):
        plan_recovery(manifest, copy, LATEST)
    with ground.restored(ground.bases[-1], source=copy, accept_loss=True) as back:
        assert back.rows() == [1, 2]


@pytest.mark.usefixtures("base")
def test_a_hole_on_the_way_ends_recovery_and_is_named(ground: Ground, copy: Archive) -> None:
    names = ground.segments(1, 2)
    at = ground.execute("SELECT clock_timestamp()")[0][0].isoformat()
    names += ground.segments(3, 4)
    take(ground, copy)
    (copy.folder / names[2]).unlink()
    late = ground.execute("SELECT clock_timestamp()")[0][0].isoformat()
    with pytest.raises(DidNotRecover, match=f"WAL segment {names[2]} is missing, and later"):
        with ground.restored(ground.bases[-1], source=copy, point=parse_point(late)):
            pass
    # A point before the hole needs nothing behind it: the record that shows it is passed stands
    # in the segment before.
    (copy.folder / names[2]).write_bytes((ground.archive.folder / names[2]).read_bytes())
    (copy.folder / names[3]).unlink()
    with ground.restored(ground.bases[-1], source=copy, point=parse_point(at)) as back:
        assert back.rows() == [1, 2]


@pytest.mark.usefixtures("base")
def test_a_damaged_segment_ends_recovery_and_is_named(ground: Ground, copy: Archive) -> None:
    names = ground.segments(1, 2, 3)
    take(ground, copy)
    copy.damaged.add(names[1])
    with pytest.raises(DidNotRecover, match=f"WAL segment {names[1]} is damaged"):
        with ground.restored(ground.bases[-1], source=copy):
            pass


@pytest.mark.usefixtures("base")
def test_wal_of_another_place_is_never_replayed(ground: Ground, copy: Archive) -> None:
    names = ground.segments(1, 2, 3)
    take(ground, copy)
    shutil.copyfile(ground.archive.folder / names[0], copy.folder / names[1])
    with pytest.raises(DidNotRecover, match="holds WAL of another position"):
        with ground.restored(ground.bases[-1], source=copy):
            pass


@pytest.mark.usefixtures("base")
def test_an_end_before_what_is_kept_is_no_success(ground: Ground, copy: Archive) -> None:
    """A segment whose hash is right and whose records are not: PostgreSQL promotes there."""
    names = ground.segments(1, 2, 3)
    take(ground, copy)
    spoilt = bytearray((copy.folder / names[1]).read_bytes())
    spoilt[8192:16384] = bytes(8192)
    spoilt[100:8192] = bytes(8092)
    (copy.folder / names[1]).write_bytes(spoilt)
    with pytest.raises(RestoreRefused, match=f"before {names[2]}, which is kept"):
        with ground.restored(ground.bases[-1], source=copy):
            pass


@pytest.mark.usefixtures("base")
def test_a_partial_segment_is_replayed_under_its_full_name(ground: Ground, copy: Archive) -> None:
    ground.segments(1)
    ground.execute("INSERT INTO t VALUES (2)", "CHECKPOINT")
    name = ground.execute("SELECT pg_walfile_name(pg_current_wal_lsn())")[0][0]
    take(ground, copy)
    live = (ground.cluster.data_dir / "pg_wal" / name).read_bytes()
    (copy.folder / name).write_bytes(live.rstrip(b"\0"))
    with ground.restored(ground.bases[-1], source=copy) as back:
        assert back.rows() == [1, 2]
    (copy.folder / name).write_bytes(b"")
    with ground.restored(ground.bases[-1], source=copy) as back:
        assert back.rows() == [1]


@pytest.mark.usefixtures("base")
def test_less_than_the_backup_has_itself_is_not_served(ground: Ground, copy: Archive) -> None:
    """A receiver's unfinished copy of the backup's own last segment must not replace it."""
    manifest = ground.bases[-1][1]
    own = (ground.archive.folder / str(manifest.wal_first)).read_bytes()
    (copy.folder / str(manifest.wal_first)).write_bytes(own[:200])
    with ground.restored(ground.bases[-1], source=copy) as back:
        assert back.rows() == []
        assert back.fed.segments == 0


@pytest.mark.usefixtures("base")
def test_another_timeline_is_followed_or_left_alone(ground: Ground, copy: Archive) -> None:
    """A promoted copy goes on: its history is kept beside production's."""
    ground.segments(1)
    take(ground, copy)
    with ground.restored(ground.bases[-1], source=copy) as other:
        other.execute("INSERT INTO t VALUES (100)")
        name = other.execute("SELECT pg_walfile_name(pg_switch_wal())")[0][0]
        wal = other.laid.data_dir / "pg_wal"
        for made in (name, "00000002.history"):
            shutil.copyfile(wal / made, copy.folder / made)
    ground.segments(2)
    shutil.copytree(ground.archive.folder, copy.folder, dirs_exist_ok=True)
    assert name[:8] == "00000002"
    with ground.restored(ground.bases[-1], source=copy) as back:
        assert back.rows() == [1, 100]
    with ground.restored(
        ground.bases[-1], source=copy, point=Point("latest", timeline="1")
    ) as back:
        assert back.rows() == [1, 2]
    after = ground.base()[1]
    with pytest.raises(PointUnreachable, match="does not lead to timeline 2"):
        plan_recovery(after, copy, LATEST)


@pytest.mark.usefixtures("base")
def test_a_point_after_what_is_kept_is_refused(ground: Ground) -> None:
    ground.segments(1)
    manifest = ground.bases[-1][1]
    with pytest.raises(PointUnreachable, match="is after what is kept"):
        plan_recovery(manifest, ground.archive, parse_point("F/0"))
