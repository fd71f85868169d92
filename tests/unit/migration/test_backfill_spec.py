"""What a backfill is, when two are the same, and what is said of one under way."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from shippyard.migration.backfill.checkpoint import Checkpoint, forget, unfinished
from shippyard.migration.backfill.progress import EVERY_S, Reporter, standing
from shippyard.migration.backfill.spec import BackfillRefused, Spec, from_document
from shippyard.migration.backfill.throttle import Limits
from shippyard.migration.backfill.worker import ROUNDS_MAX, wants_another_round
from tests.conftest import FakeClock

SPEC = Spec("tiers", "users", {"tier": "'basic'", "note": "''"}, "tier IS NULL")
NOW = datetime(2026, 3, 4, tzinfo=UTC)
BEGUN = Checkpoint(SPEC, SPEC.hash, 1, None, 0, 0, 0, 0, 0, 500, 10_000, NOW, NOW, None)


def test_the_same_work_has_the_same_hash_however_politely_it_is_done() -> None:
    turned = Spec(
        "other", "users", {"note": "''", "tier": "'basic'"}, "tier IS NULL", Limits(duty=1)
    )
    assert turned.hash == SPEC.hash


@pytest.mark.parametrize(
    "other",
    [{"table": "people"}, {"set_": {"tier": "'plus'"}}, {"where": None}, {"where": "tier = ''"}],
)
def test_other_work_has_another(other: dict[str, object]) -> None:
    assert replace(SPEC, **other).hash != SPEC.hash  # type: ignore[arg-type]


def test_a_spec_comes_back_from_where_it_is_written_down() -> None:
    spec = replace(SPEC, limits=Limits(max_lag_s=None, duty=0.1))
    assert from_document(spec.document()) == spec


@pytest.mark.parametrize("name", ["", "a" * 64, "Tiers", "a-b", "x'; --", "a\n"])
def test_names_that_would_need_quoting_are_refused(name: str) -> None:
    with pytest.raises(BackfillRefused, match="name"):
        Spec(name, "users", {"tier": "1"})


def test_what_a_revision_that_needs_one_is_told() -> None:
    assert unfinished(None, "tiers") == (
        "backfill tiers was never begun; a revision before this one must do it"
    )
    assert unfinished(replace(BEGUN, seen=1200), "tiers") == (
        "backfill tiers is not finished (12% of about 10,000 rows); "
        "run: shippyard migration backfill tiers"
    )
    assert unfinished(replace(BEGUN, finished_at=NOW), "tiers") is None
    assert "to_regclass" in forget("tiers")


@pytest.mark.parametrize(
    ("change", "another"),
    [
        ({"round_rows": 5}, True),
        ({"round_rows": 0}, False),
        ({"round_rows": 5, "still_due": 1}, False),
        ({"round_rows": 5, "round": ROUNDS_MAX}, False),
        ({"round_rows": 5, "spec": replace(SPEC, where=None)}, False),
    ],
)
def test_another_round_only_where_it_can_change_no_row_twice(
    change: dict[str, object], *, another: bool
) -> None:
    assert wants_another_round(replace(BEGUN, **change)) is another  # type: ignore[arg-type]


def test_how_far_it_is_and_how_long_still() -> None:
    told = standing(replace(BEGUN, seen=4000, rows=3900), 300.0)
    assert told["message"] == "tiers: 40% of about 10,000 rows, 300 rows/s, about 20 s left"
    assert (told["rows"], told["seen"], told["left_s"]) == (3900, 4000, 20.0)
    unknown = standing(replace(BEGUN, seen=4000, estimate=None), 300.0)
    assert unknown["message"] == "tiers: 4,000 rows, 300 rows/s"
    again = standing(replace(BEGUN, seen=4000, round=2), 300.0)
    assert again["message"].endswith("looking for rows that came meanwhile")


def test_it_is_told_every_few_seconds_and_at_the_end(clock: FakeClock) -> None:
    told: list[str] = []
    reporter = Reporter(clock, lambda fields: told.append(str(fields["message"])), BEGUN)
    for batch in range(1, 5):
        clock.advance(EVERY_S / 2)
        reporter.moved(replace(BEGUN, seen=1000 * batch))
    assert len(told) == 2
    assert "667 rows/s" in told[0]
    reporter.done(replace(BEGUN, rows=9999))
    assert told[-1] == "tiers: 9,999 rows filled, 6 s"
