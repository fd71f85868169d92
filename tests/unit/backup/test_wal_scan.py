"""Continuity: each segment that goes is named, timelines make no false gap."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from shippyard.backup.wal.names import Segment, Switch
from shippyard.backup.wal.scan import (
    BasePosition,
    Gap,
    Holdings,
    Span,
    Why,
    is_behind,
    needed_from,
    scan,
    segments_in,
)

SIZE = 16 * 1024 * 1024
NOW = datetime(2026, 3, 4, tzinfo=UTC)


def run(timeline: int, first: int, last: int) -> frozenset[Segment]:
    return frozenset(Segment(timeline, number) for number in range(first, last + 1))


def base(timeline: int, number: int) -> BasePosition:
    return BasePosition(f"base-{timeline}-{number}", Segment(timeline, number), NOW)


def gaps(holdings: Holdings, bases: Sequence[BasePosition] = ()) -> tuple[Gap, ...]:
    return scan(holdings, bases).gaps


@pytest.mark.parametrize("bases", [[], [base(1, 1)], [base(1, 1), base(1, 40)]])
def test_each_of_a_hundred_is_missed_and_named(bases: list[BasePosition]) -> None:
    whole = run(1, 1, 100)
    for segment in whole:
        found = gaps(Holdings(SIZE, whole - {segment}, recorded=whole), bases)
        assert found == (Gap(1, segment.number, segment.number, "missing"),)
        assert found[0].names(SIZE) == [segment.name(SIZE)]


def test_without_the_record_the_ends_are_open() -> None:
    whole = run(1, 1, 9)
    assert gaps(Holdings(SIZE, whole - {Segment(1, 9)})) == ()
    assert gaps(Holdings(SIZE, whole - {Segment(1, 5)})) == (Gap(1, 5, 5, "missing"),)
    # A base says where it must begin.
    begun = gaps(Holdings(SIZE, whole - {Segment(1, 1)}), [base(1, 1)])
    assert begun == (Gap(1, 1, 1, "missing"),)


@pytest.mark.parametrize("why", ["short", "different"])
def test_what_is_wrong_is_a_gap_with_its_reason(why: Why) -> None:
    whole = run(1, 1, 9)
    wrong = {Segment(1, 3): why, Segment(1, 4): why, Segment(1, 6): why}
    found = gaps(Holdings(SIZE, whole, problems=wrong))
    assert found == (Gap(1, 3, 4, why), Gap(1, 6, 6, why))


def test_a_lost_stretch_says_that_the_slot_lost_it() -> None:
    held = run(1, 1, 3) | run(1, 7, 9)
    found = gaps(Holdings(SIZE, held, lost=[Span(1, 4, 6)]))
    assert found == (Gap(1, 4, 6, "slot_lost"),)


def test_a_promotion_in_the_middle_of_a_segment_is_no_gap() -> None:
    """The new timeline repeats the segment in which it begins; the old one never ends its own."""
    histories = {2: (Switch(1, 5 * SIZE + 4096),)}
    held = run(1, 1, 4) | run(2, 5, 9)
    assert gaps(Holdings(SIZE, held, histories=histories), [base(1, 2)]) == ()
    assert gaps(Holdings(SIZE, held, histories=histories)) == ()


def test_a_promotion_on_a_boundary_is_no_gap() -> None:
    histories = {2: (Switch(1, 5 * SIZE),)}
    held = run(1, 1, 4) | run(2, 5, 9)
    assert gaps(Holdings(SIZE, held, histories=histories), [base(1, 2)]) == ()


def test_a_primary_that_was_ahead_of_its_successor_is_no_gap() -> None:
    histories = {2: (Switch(1, 5 * SIZE + 4096),)}
    held = run(1, 1, 8) | run(2, 5, 9)
    assert gaps(Holdings(SIZE, held, histories=histories), [base(1, 2)]) == ()


def test_segments_around_a_promotion_are_missed() -> None:
    histories = {2: (Switch(1, 5 * SIZE + 4096),)}
    whole = run(1, 1, 4) | run(2, 5, 9)
    for segment in (Segment(1, 4), Segment(2, 5)):
        found = gaps(Holdings(SIZE, whole - {segment}, histories=histories), [base(1, 2)])
        assert found == (Gap(segment.timeline, segment.number, segment.number, "missing"),)


def test_three_timelines_in_a_row() -> None:
    two = (Switch(1, 5 * SIZE + 8),)
    histories = {2: two, 3: (*two, Switch(2, 8 * SIZE + 8))}
    whole = run(1, 1, 4) | run(2, 5, 7) | run(3, 8, 12)
    assert gaps(Holdings(SIZE, whole, histories=histories), [base(1, 1)]) == ()
    for segment in whole - {Segment(3, 12)}:
        found = gaps(Holdings(SIZE, whole - {segment}, histories=histories), [base(1, 1)])
        assert [gap.names(SIZE) for gap in found] == [[segment.name(SIZE)]]


def test_an_archive_that_began_on_a_later_timeline_needs_nothing_before() -> None:
    histories = {3: (Switch(1, 5 * SIZE), Switch(2, 8 * SIZE))}
    held = run(3, 100, 120)
    assert gaps(Holdings(SIZE, held, histories=histories)) == ()
    assert gaps(Holdings(SIZE, held, histories=histories), [base(3, 101)]) == ()


def test_a_timeline_that_no_base_leads_into_needs_nothing() -> None:
    histories = {2: (Switch(1, 5 * SIZE),)}
    held = run(1, 1, 20) | run(2, 5, 6) | run(2, 8, 9)
    assert gaps(Holdings(SIZE, held, histories=histories), [base(1, 10)]) == ()


def test_a_timeline_without_its_history_is_told_and_still_looked_at() -> None:
    report = scan(Holdings(SIZE, run(1, 1, 4) | run(2, 5, 6) | run(2, 8, 9)), [base(1, 1)])
    assert report.without_history == (2,)
    assert report.gaps == (Gap(2, 7, 7, "missing"),)


def test_what_lies_before_the_oldest_base_is_not_needed() -> None:
    held = run(1, 1, 3) | run(1, 5, 9)
    assert gaps(Holdings(SIZE, held, recorded=run(1, 1, 9)), [base(1, 5)]) == ()
    assert needed_from([base(1, 8), base(2, 5)]) == 5
    assert needed_from([]) is None


def test_a_newer_base_is_behind_a_gap() -> None:
    gap = Gap(1, 4, 6, "missing")
    assert is_behind(gap, base(1, 7))
    assert not is_behind(gap, base(1, 6))
    assert is_behind(gap, base(2, 9))


def test_spans_are_what_is_whole() -> None:
    held = run(1, 1, 4) | run(1, 6, 7) | run(2, 8, 8)
    report = scan(Holdings(SIZE, held, problems={Segment(1, 2): "short"}), [])
    assert report.spans == (Span(1, 1, 1), Span(1, 3, 4), Span(1, 6, 7), Span(2, 8, 8))


def test_a_long_gap_names_its_ends() -> None:
    names = Gap(1, 1, 1000, "missing").names(SIZE)
    assert len(names) == 20
    assert names[-1] == Segment(1, 1000).name(SIZE)


def test_names_that_are_no_segments_are_left_out() -> None:
    names = ["000000010000000000000001", "00000002.history", "0000000100000000000000FF.partial"]
    assert segments_in(names, SIZE) == {Segment(1, 1)}
    # 256 MB segments end at 0F.
    assert segments_in(["0000000100000000000000FF"], 256 * 1024 * 1024) == frozenset()


def test_what_a_base_begins_with_is_missed_once_it_should_have_come() -> None:
    nothing = Holdings(SIZE, frozenset())
    assert gaps(nothing, [base(1, 7)]) == (Gap(1, 7, 7, "missing"),)
    assert gaps(nothing, [replace(base(1, 7), is_settled=False)]) == ()


def test_what_was_declared_lost_is_a_gap_though_nothing_came_after() -> None:
    held = run(1, 1, 3)
    assert gaps(Holdings(SIZE, held, lost=[Span(1, 4, 4)]), [base(1, 1)]) == (
        Gap(1, 4, 4, "slot_lost"),
    )
    assert gaps(Holdings(SIZE, run(1, 1, 4), lost=[Span(1, 4, 4)]), [base(1, 1)]) == ()
