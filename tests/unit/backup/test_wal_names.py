"""Names and positions of WAL, for every segment size that initdb makes."""

import pytest

from shippyard.backup.wal.names import (
    NameInvalid,
    Segment,
    Switch,
    format_lsn,
    is_history,
    is_partial,
    is_segment,
    is_wal,
    parse_history,
    parse_lsn,
    parse_segment,
)

MB = 1024 * 1024


@pytest.mark.parametrize("segment_bytes", [MB, 16 * MB, 64 * MB, 1024 * MB])
@pytest.mark.parametrize("number", [0, 1, 3, 255, 256, 4095, 4096, 70_000])
def test_a_name_and_a_number_are_one(segment_bytes: int, number: int) -> None:
    segment = Segment(3, number)
    name = segment.name(segment_bytes)
    assert is_segment(name)
    assert parse_segment(name, segment_bytes) == segment
    assert parse_segment(name + ".partial", segment_bytes) == segment
    assert segment.next().begins(segment_bytes) == segment.ends(segment_bytes)


def test_the_log_turns_over_where_its_size_says() -> None:
    assert Segment(1, 255).name(16 * MB) == "0000000100000000000000FF"
    assert Segment(1, 256).name(16 * MB) == "000000010000000100000000"
    assert Segment(1, 64).name(64 * MB) == "000000010000000100000000"


@pytest.mark.parametrize(
    ("name", "size"),
    [("000000010000000000000100", 16 * MB), ("00000002.history", 16 * MB), ("x", MB), ("", MB)],
)
def test_what_is_no_segment_is_refused(name: str, size: int) -> None:
    with pytest.raises(NameInvalid):
        parse_segment(name, size)


def test_kinds_of_names() -> None:
    segment = "0000000100000000000000AB"
    assert is_wal(segment)
    assert is_partial(f"{segment}.partial")
    assert is_history("0000000A.history")
    assert is_wal(f"{segment}.00000028.backup")
    for name in (segment.lower(), f"{segment}.zst", "../x", f"{segment}.partial.partial", ""):
        assert not is_wal(name)


@pytest.mark.parametrize("lsn", [0, 1, 0x16B3748, 0x1_0000_0000, 0xFFFF_FFFF_FFFF])
def test_positions(lsn: int) -> None:
    assert parse_lsn(format_lsn(lsn)) == lsn


@pytest.mark.parametrize("text", ["", "1", "0/G", "123456789/0", "0/1 "])
def test_what_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(NameInvalid):
        parse_lsn(text)


def test_a_history_names_ancestors_and_where_they_were_left() -> None:
    text = "1\t0/5000148\tno recovery target specified\n\n2\t0/7000000\tbefore x # y\n"
    assert parse_history(text) == (Switch(1, 0x5000148), Switch(2, 0x7000000))
    assert parse_history("# nothing\n") == ()
    with pytest.raises(NameInvalid):
        parse_history("what is this\n")
