"""How fast a backfill goes: bounded on every side."""

import math

import pytest

from shippyard.migration.backfill.throttle import (
    PAUSE_MAX_S,
    ROWS_MAX,
    ROWS_MIN,
    Felt,
    Limits,
    Signals,
    after_conflict,
    brake_s,
    lags_too_much,
    next_rows,
    rest_s,
)

LIMITS = Limits(target_ms=50, duty=0.5, max_lag_s=10, wal_max_bytes_s=10e6)


def settled(rows: int, ms_per_row: float, fixed_ms: float = 0.0) -> int:
    """Where the size of batches comes to rest."""
    for _ in range(100):
        felt = Felt((fixed_ms + rows * ms_per_row) / 1000, rows)
        rows = next_rows(rows, felt, LIMITS)
    return rows


@pytest.mark.parametrize(
    ("ms_per_row", "rows"), [(0.02, 2500), (0.5, 100), (0.000001, ROWS_MAX), (80, ROWS_MIN)]
)
def test_batches_come_to_take_as_long_as_wanted(ms_per_row: float, rows: int) -> None:
    assert settled(500, ms_per_row) == pytest.approx(rows, rel=0.02)


def test_a_slow_batch_shrinks_the_next_more_than_a_quick_one_lets_it_grow() -> None:
    assert next_rows(1000, Felt(10.0, 1000), LIMITS) == 250
    assert next_rows(1000, Felt(0.001, 1000), LIMITS) == 1500
    assert next_rows(1000, Felt(0.0, 1000), LIMITS) == 1500


def test_whoever_waits_for_us_halves_the_next_batch() -> None:
    assert next_rows(1000, Felt(0.01, 1000, blocking=1), LIMITS) == 500


def test_conflicts_lead_down_to_the_one_row_that_is_locked() -> None:
    assert [after_conflict(rows) for rows in (10_000, 4, 1)] == [2500, 1, 1]


@pytest.mark.parametrize(
    ("duty", "elapsed_s", "changed", "pause_s"),
    [(0.5, 0.05, 10, 0.05), (0.25, 0.05, 10, 0.15), (1, 0.05, 10, 0), (0.5, 0.05, 0, 0)],
)
def test_the_rest_makes_the_share_of_work_what_was_wanted(
    duty: float, elapsed_s: float, changed: int, pause_s: float
) -> None:
    assert rest_s(Felt(elapsed_s, changed), Limits(duty=duty)) == pytest.approx(pause_s)


LOOKS = (
    (Signals(), 0.0),
    (Signals(blocked=3), 0.25),
    (Signals(wal_bytes_s=9e6, over_s=1), 0.0),
    (Signals(wal_bytes_s=30e6, over_s=1), 2.0),
    (Signals(wal_bytes_s=30e6, over_s=60), PAUSE_MAX_S),
    (Signals(wal_bytes_s=11e6, over_s=1, blocked=1), 0.25),
)


@pytest.mark.parametrize(("signals", "pause_s"), LOOKS)
def test_the_brake_by_wal_and_by_waiting_sessions(signals: Signals, pause_s: float) -> None:
    assert brake_s(signals, LIMITS) == pytest.approx(pause_s)


def test_wal_is_not_limited_when_nobody_wants_it() -> None:
    assert brake_s(Signals(wal_bytes_s=1e12, over_s=1), Limits(wal_max_bytes_s=None)) == 0


@pytest.mark.parametrize(
    ("lag_s", "max_lag_s", "too_much"),
    [(None, 10, False), (10, 10, False), (10.1, 10, True), (1e6, None, False)],
)
def test_a_replica_that_lags_holds_it(
    lag_s: float | None, max_lag_s: float | None, *, too_much: bool
) -> None:
    assert lags_too_much(Signals(lag_s=lag_s), Limits(max_lag_s=max_lag_s)) is too_much


def test_no_pause_is_longer_than_its_bound() -> None:
    for elapsed_s in (0.001, 1, 1000, math.inf):
        assert rest_s(Felt(elapsed_s, 1), Limits(duty=0.01)) <= PAUSE_MAX_S


@pytest.mark.parametrize(
    "wrong",
    [
        {"target_ms": 0},
        {"target_ms": 1e6},
        {"duty": 0},
        {"duty": 1.1},
        {"max_lag_s": 0},
        {"wal_max_bytes_s": -1},
    ],
)
def test_limits_by_which_nothing_would_be_done_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Limits(**wrong)
