"""A forecast follows what drills measured, at sizes that none of them had."""

import random

import pytest

from shippyard.backup.drill.forecast import PAST_MAX, Past, fitted, forecast_by_phase, forecast_s

MB = 1024 * 1024


def restored(size_mb: float, *, noise: float = 0.0, wal_mb: float = 0, seed: int = 0) -> Past:
    """A machine that needs 2 s, 0.1 s for a MB restored and 0.01 s for a MB replayed."""
    by_chance = random.Random(f"{seed}{size_mb}")
    shake = 1 + by_chance.uniform(-noise, noise)
    phases = {"prepare": 2.0, "restore": 0.1 * size_mb, "replay": 0.01 * wal_mb}
    scaled = {name: seconds * shake for name, seconds in phases.items()}
    return Past({**scaled, "check": 99.0}, int(size_mb * MB), int(wal_mb * MB))


def test_without_a_drill_nothing_is_said() -> None:
    assert forecast_s([], 1000) is None
    assert forecast_by_phase([], 1000) == {}


def test_another_size_is_forecast_from_two() -> None:
    past = [restored(100), restored(400)]
    assert forecast_s(past, 1600 * MB) == pytest.approx(162, rel=0.01)
    assert forecast_s(past, 10 * MB) == pytest.approx(3, rel=0.01)


def test_one_size_is_taken_to_grow_with_bytes() -> None:
    assert forecast_s([restored(100), restored(101)], 1000 * MB) == pytest.approx(102, rel=0.1)


def test_replay_grows_with_wal() -> None:
    past = [restored(100, wal_mb=100), restored(100, wal_mb=1000)]
    by_phase = forecast_by_phase(past, 100 * MB, 5000 * MB)
    assert by_phase["replay"] == pytest.approx(50, rel=0.02)


def test_checks_are_no_part_of_a_restore() -> None:
    assert "check" not in forecast_by_phase([restored(100)], 100 * MB)


@pytest.mark.parametrize("seed", range(20))
def test_within_a_quarter_where_drills_differ_by_a_tenth(seed: int) -> None:
    past = [restored(size, noise=0.1, seed=seed) for size in (50, 90, 160, 300)]
    told = forecast_s(past, 700 * MB)
    assert told is not None
    assert abs(told - 72) / 72 < 0.25


def test_a_line_never_goes_down() -> None:
    line = fitted([(100, 10.0), (1000, 1.0)])
    assert line.per_byte_s >= 0
    assert line.fixed_s >= 0


def test_only_the_newest_count() -> None:
    old = [restored(100)] * 100
    new = [Past({"restore": 1.0}, 100 * MB)] * PAST_MAX
    assert forecast_s([*new, *old], 100 * MB) == pytest.approx(1.0)
