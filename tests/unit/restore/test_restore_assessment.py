"""What is said before a restore: what there is, what is lost, what stands against it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shippyard.backup.manifest import FileEntry, Made, Manifest, Source, Verification
from shippyard.backup.model import BackupUnknown
from shippyard.backup.restore.assess import (
    Situation,
    Wanted,
    assess,
    choose_dump,
    needed_bytes,
    subject_for,
)
from shippyard.backup.restore.contents import Selection
from shippyard.backup.restore.coverage import Coverage, cover
from shippyard.backup.restore.point import Kept, Point, PointUnreachable, parse_point
from shippyard.backup.restore.shelf import Unusable
from shippyard.backup.wal.names import Segment

NOW = datetime(2026, 3, 4, 12, 0, 0, tzinfo=UTC)
SIZE = 16 * 1024 * 1024


def a_backup(hours: int, kind: str = "dump", of: str = "shop") -> Manifest:
    at = NOW - timedelta(hours=hours)
    source = Source(
        "1", "15.18", of.strip("@"), "0/2000028", "0003", 2, timeline=1, lsn_at_end="0/2000100"
    )
    return Manifest(
        id=f"{at:%Y%m%dT%H%M%SZ}-{kind}-00000{hours % 10}",
        database=of,
        kind=kind,  # type: ignore[arg-type]  # one of three
        reason="schedule",
        held_by=None,
        started_at=at,
        finished_at=at,
        duration_s=1.0,
        source=source,
        made=Made("pg_dump", 15, ()),
        files=(FileEntry("x", 1000, "0" * 64),),
        verification=Verification("all", at, 0.0),
        wal_first="000000010000000000000002" if kind == "base" else None,
    )


DUMPS = [a_backup(30), a_backup(20), a_backup(3)]
WANTED = Wanted("dump", "shop_back", "shop")


def test_the_newest_dump_is_chosen() -> None:
    assert choose_dump(DUMPS, WANTED) == DUMPS[2]


def test_at_a_time_the_newest_before_it_is_chosen() -> None:
    wanted = replace(WANTED, point=parse_point("2026-03-04T08:59:00Z"))
    assert choose_dump(DUMPS, wanted) == DUMPS[1]


@pytest.mark.parametrize(
    ("point", "said"),
    [
        ("2020-01-01T00:00:00Z", "the oldest dump is of 2026-03-03 06:00:00Z, after"),
        ("0/3000000", "needs a base backup and WAL"),
        ("xid:777", "needs a base backup and WAL"),
    ],
)
def test_a_point_that_no_dump_leads_to_is_refused(point: str, said: str) -> None:
    with pytest.raises(PointUnreachable, match=said):
        choose_dump(DUMPS, replace(WANTED, point=parse_point(point)))


def test_the_only_subject_need_not_be_named() -> None:
    both = [*DUMPS, a_backup(1, "base", "@main")]
    assert subject_for(Wanted("dump", "x"), both) == "shop"
    assert subject_for(Wanted("files", "/x"), both) == "@main"
    assert subject_for(Wanted("dump", "x", backup_id=DUMPS[0].id), both) == "shop"


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Wanted("dump", "x"), "say whose"),
        (Wanted("dump", "x", "bank"), "no dump of bank here; there is: shop, store"),
        (Wanted("files", "/x"), "no base backup here"),
    ],
)
def test_a_subject_that_is_not_clear_is_asked_for(wanted: Wanted, said: str) -> None:
    with pytest.raises(PointUnreachable, match=said):
        subject_for(wanted, [*DUMPS, a_backup(1, of="store")])


def test_an_id_that_is_not_there_is_told_from_one_that_can_not_be_restored() -> None:
    wanted = Wanted("dump", "x", backup_id="nope")
    with pytest.raises(BackupUnknown, match="no backup nope here; `shippyard ctl backup list`"):
        subject_for(wanted, DUMPS)
    with pytest.raises(PointUnreachable, match="nope is here and can't be restored: its key"):
        subject_for(wanted, DUMPS, [Unusable("shop", "nope", "its key is lost")])


def test_loss_time_disk_and_steps_are_said() -> None:
    seen = Situation(NOW, DUMPS, chosen=DUMPS[2], forecast_s=190.0, free_bytes=10**9)
    said = assess(WANTED, seen)
    assert said.refusals == ()
    assert said.loss == "all that was written since 2026-03-04 09:00:00Z (3 h 0 min ago)"
    assert said.takes == "about 3 min, as drills measured"
    assert said.disk == "about 8 kB needed, 1 GB free"
    assert said.warnings == ()
    assert any("compare every hash" in step for step in said.steps)
    assert said.needed_bytes == needed_bytes(DUMPS[2])


def test_what_stands_against_it_is_said_whole() -> None:
    seen = Situation(NOW, DUMPS, chosen=None, why_none="nothing fits", in_the_way="it is full")
    assert assess(WANTED, seen).refusals == ("nothing fits", "it is full")


def test_too_little_disk_and_strange_keys_are_warned_of() -> None:
    stranger = Unusable("shop", "y", "signed by key abc, which is not trusted here", "abc")
    seen = Situation(NOW, DUMPS, (stranger,), chosen=DUMPS[2], free_bytes=1)
    warnings = assess(WANTED, seen).warnings
    assert "disk may be too small" in warnings[0]
    assert "keys that are not trusted here: abc" in warnings[1]


def test_a_part_loses_only_its_own_changes() -> None:
    wanted = replace(WANTED, only=Selection("public", "users"))
    said = assess(wanted, Situation(NOW, DUMPS, chosen=DUMPS[2]))
    assert said.loss.startswith("changes to it since")
    assert said.needed_bytes is None


def names(*numbers: int) -> list[str]:
    return [Segment(1, number).name(SIZE) for number in numbers]


def test_wal_without_a_hole_is_covered_to_its_end() -> None:
    base = a_backup(1, "base", "@main")
    found = cover(base, names(2, 3, 4, 5), Kept(), Point("latest"))
    assert found == Coverage(6 * SIZE, 3)
    assert found.refuses(Point("latest")) is None


def test_a_hole_is_named_and_refuses_what_is_behind_it() -> None:
    base = a_backup(1, "base", "@main")
    found = cover(base, names(3, 5, 6), Kept(), Point("latest"))
    assert (found.missing, found.beyond) == ("000000010000000000000004", 2)
    assert "000000010000000000000004 is missing" in str(found.refuses(Point("latest")))
    assert found.refuses(parse_point("0/3FFFFFF")) is None
    assert "lies behind it" in str(found.refuses(parse_point("0/4000000")))


@pytest.mark.parametrize("gone", [3, 4, 5, 6])
def test_each_segment_that_is_gone_is_found(gone: int) -> None:
    base = a_backup(1, "base", "@main")
    left = [number for number in (3, 4, 5, 6, 7) if number != gone]
    found = cover(base, names(*left), Kept(), Point("latest"))
    assert found.missing == Segment(1, gone).name(SIZE)


def test_a_hole_refuses_latest_and_warns_of_a_time() -> None:
    base = a_backup(1, "base", "@main")
    coverage = cover(base, names(3, 5), Kept(), Point("latest"))
    seen = Situation(NOW, [base], chosen=base, coverage=coverage)
    wanted = Wanted("files", "/srv/pg", "@main")
    assert "000000010000000000000004" in assess(wanted, seen).refusals[0]
    later = replace(wanted, point=parse_point("2026-03-04T11:30:00Z"))
    assert assess(later, seen).refusals == ()
    assert "000000010000000000000004" in assess(later, seen).warnings[0]


def test_a_hole_is_gone_over_only_when_that_is_accepted() -> None:
    base = a_backup(1, "base", "@main")
    coverage = cover(base, names(3, 5), Kept(), Point("latest"))
    seen = Situation(NOW, [base], chosen=base, coverage=coverage)
    said = assess(Wanted("files", "/srv/pg", "@main", accept_loss=True), seen)
    assert said.refusals == ()
    assert "000000010000000000000004" in said.loss
    behind = Wanted("files", "/x", "@main", point=parse_point("0/5000000"), accept_loss=True)
    assert "lies behind it" in assess(behind, seen).refusals[0]
