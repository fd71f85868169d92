"""When checks are due, and how long to wait before connecting again."""

import pytest

from shippyard.health.cadence import REST, next_due, pause_s


def test_a_quick_check_keeps_its_rhythm_without_drift() -> None:
    assert next_due(due=100.0, every_s=5, now=100.3, took_s=0.1) == 105.0


def test_missed_turns_are_skipped_and_the_rhythm_kept() -> None:
    assert next_due(due=100.0, every_s=5, now=173.0, took_s=0.1) == 175.0


def test_a_turn_that_ends_on_the_next_one_is_not_run_twice() -> None:
    assert next_due(due=100.0, every_s=5, now=105.0, took_s=0.1) == 110.0


def test_a_slow_check_rests_in_proportion() -> None:
    assert next_due(due=100.0, every_s=1, now=102.0, took_s=2.0) == 102.0 + REST * 2.0


@pytest.mark.parametrize(
    ("failures", "expected"), [(1, 0.5), (2, 1.0), (5, 8.0), (6, 15.0), (10_000, 15.0)]
)
def test_pauses_double_up_to_their_bound(failures: int, expected: float) -> None:
    assert pause_s(failures, 15.0, chance=0.0) == expected


def test_chance_takes_at_most_half_of_a_pause() -> None:
    assert pause_s(6, 15.0, chance=1.0) == 7.5
