"""What a person types becomes a point, and the point one base backup."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shippyard.backup.manifest import Made, Manifest, Source, Verification
from shippyard.backup.restore.line import HistoryUnusable, line_to, segment_bytes_of
from shippyard.backup.restore.point import (
    LATEST,
    Kept,
    Point,
    PointInvalid,
    PointUnreachable,
    choose_base,
    parse_point,
)

DAY = datetime(2026, 3, 1, tzinfo=UTC)


def base(number: int, *, timeline: int = 1, end: str | None = None) -> Manifest:
    """One a day; each ends a hundred megabytes further, and was verified an hour later."""
    finished = DAY + timedelta(days=number)
    source = Source(
        "7", "15.18", "", "0/0", None, 0, timeline=timeline, lsn_at_end=end or f"{number}/0"
    )
    return Manifest(
        id=f"base-{number}",
        database="@main",
        kind="base",
        reason="schedule",
        held_by=None,
        started_at=finished - timedelta(minutes=5),
        finished_at=finished + timedelta(hours=1),
        duration_s=3900.0,
        source=source,
        made=Made("pg_basebackup 15.18", 15, ()),
        files=(),
        verification=Verification("decode", finished + timedelta(hours=1), 3600.0),
    )


BASES = [base(3), base(1), base(2)]


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ("latest", LATEST),
        (" 2026-03-04T05:06:07Z ", Point("time", "2026-03-04T05:06:07+00:00")),
        ("2026-03-04 05:06:07.25+01:00", Point("time", "2026-03-04T04:06:07.250000+00:00")),
        ("time:2026-03-04T05:06:07+00", Point("time", "2026-03-04T05:06:07+00:00")),
        ("0/3000060", Point("lsn", "0/3000060")),
        ("lsn:a/0", Point("lsn", "A/0")),
        ("name:before: import", Point("name", "before: import")),
        ("xid:1234", Point("xid", "1234", inclusive=False)),
    ],
)
def test_points_are_parsed(text: str, point: Point) -> None:
    assert parse_point(text) == point


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2026-03-04T05:06:07", "has no time zone; write 2026-03-04T05:06:07Z for UTC"),
        ("yesterday", "is no point to restore to; give latest"),
        ("", "is no point to restore to"),
        ("0/xyz", "is not a WAL position"),
        ("name:", "is no restore point"),
        ("name:it's", "is no restore point"),
        (f"name:{'x' * 64}", "is no restore point"),
        ("xid:2", "is no transaction"),
        ("xid:-7", "is no transaction"),
        ("xid:18446744073709551616", "is no transaction"),
    ],
)
def test_what_is_no_point_is_refused(text: str, said: str) -> None:
    with pytest.raises(PointInvalid) as refused:
        parse_point(text)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("latest", "base-3"),
        ("2026-03-04T00:00:00Z", "base-3"),
        ("2026-03-03T23:59:59Z", "base-2"),
        ("2026-03-02T00:00:00Z", "base-1"),
        ("3/0", "base-3"),
        ("2/FFFFFFFF", "base-2"),
        ("name:half way", "base-1"),
        ("xid:99", "base-1"),
    ],
)
def test_the_base_with_the_least_replay_is_chosen(text: str, chosen: str) -> None:
    assert choose_base(BASES, parse_point(text), Kept()).id == chosen


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2026-03-01T23:59:59Z", "base-1 can be restored to 2026-03-02T00:00:00+0000"),
        ("0/FFFFFFFF", "is before the oldest base backup that leads there: base-1"),
        ("9/1", "the WAL ends at 9/0; restore to `latest`"),
        ("2026-03-09T00:00:01Z", "the newest WAL is of 2026-03-09T00:00:00+00:00"),
    ],
)
def test_what_is_not_kept_is_refused(text: str, said: str) -> None:
    kept = Kept(newest_lsn=9 << 32, newest_at=DAY + timedelta(days=8))
    with pytest.raises(PointUnreachable) as refused:
        choose_base(BASES, parse_point(text), kept)
    assert said in str(refused.value)


def test_without_a_base_backup_it_says_how_to_make_one() -> None:
    with pytest.raises(PointUnreachable, match="run `shippyard ctl backup run"):
        choose_base([], LATEST, Kept())


def test_a_base_must_be_on_the_way_to_the_timeline() -> None:
    """Timeline 2 left the first at 1/80000000: what was taken on the first after that is lost."""
    kept = Kept(frozenset({1, 2}), {2: "1\t1/80000000\tno recovery target specified\n"})
    bases = [*BASES, base(4, timeline=2, end="1/90000000")]
    assert choose_base(bases, LATEST, kept).id == "base-4"
    assert choose_base(BASES, LATEST, kept).id == "base-1"
    assert choose_base(bases, replace(LATEST, timeline="1"), kept).id == "base-3"
    with pytest.raises(PointUnreachable, match="no base backup is on the way to timeline 2"):
        choose_base(BASES[::2], replace(LATEST, timeline="2"), kept)


def test_a_timeline_that_is_not_kept_is_refused() -> None:
    with pytest.raises(PointUnreachable, match="nothing of timeline 3 is kept; there are 1"):
        choose_base(BASES, replace(LATEST, timeline="3"), Kept())
    for no in ("newest", "0", "-1"):
        with pytest.raises(PointInvalid, match="is no timeline"):
            choose_base(BASES, replace(LATEST, timeline=no), Kept())


def test_a_line_goes_over_timelines() -> None:
    line = line_to(3, {3: "1\t0/5000000\tx\n2\t0/7800000\ty\n"})
    size = 16 << 20
    assert line.names(4, size) == ["000000010000000000000004"]
    assert line.names(5, size) == ["000000020000000000000005", "000000010000000000000005"]
    assert line.names(7, size) == ["000000030000000000000007", "000000020000000000000007"]
    assert line.names(300, size) == ["00000003000000010000002C"]
    assert line.holds(1, 0x5000000)
    assert not line.holds(1, 0x5000001)
    assert line.holds(3, 0xFFFFFFFFFF)
    assert not line.holds(4, 0)


@pytest.mark.parametrize("histories", [{}, {2: "1\tno lsn\n"}, {2: "garbage\n"}])
def test_a_timeline_without_its_history_is_refused(histories: dict[int, str]) -> None:
    with pytest.raises(HistoryUnusable, match=r"00000002\.history"):
        line_to(2, histories)


@pytest.mark.parametrize(
    ("name", "lsn", "size"),
    [
        ("000000010000000000000002", 0x2000028, 16 << 20),
        ("000000010000000000000001", 0x4000028, 64 << 20),
        ("0000000100000001000000FF", 0x1FF000028, 16 << 20),
        ("000000010000000000000000", 0x28, 16 << 20),
    ],
)
def test_the_segment_size_is_found(name: str, lsn: int, size: int) -> None:
    assert segment_bytes_of(name, lsn) == size
