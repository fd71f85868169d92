"""What is silenced, by whom, and until when; and hours that come back."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shippyard.alerting.silences import Silence, fits, is_within, silenced_by
from shippyard.config.alerting import Hours, Quiet

NOW = datetime(2026, 3, 4, 5, 30, tzinfo=UTC)  # a Wednesday
FACTS = {"rule": "replica_lagging", "cluster": "main", "database": "shop", "severity": "ticket"}


def silence(match: dict[str, str], begins: int = -60, ends: int = 60) -> Silence:
    at = (NOW + timedelta(seconds=each) for each in (begins, ends))
    return Silence("5f09a1c2", match, "moved", "olga", *at)


@pytest.mark.parametrize(
    ("match", "fitting"),
    [
        ({"rule": "replica_lagging"}, True),
        ({"rule": "replica_*", "database": "shop"}, True),
        ({"rule": "replica_lagging", "database": "other"}, False),
        ({"subject": "standby"}, False),
        ({"rule": "Replica*"}, False),
        ({}, False),
    ],
)
def test_all_patterns_must_fit_and_none_fits_nothing(
    match: dict[str, str], *, fitting: bool
) -> None:
    assert fits(match, FACTS) is fitting


def test_a_silence_holds_from_its_begin_to_its_end() -> None:
    rule = {"rule": "replica_lagging"}
    assert silenced_by(FACTS, NOW, [silence(rule)]) == "5f09a1c2"
    assert silenced_by(FACTS, NOW, [silence(rule, ends=0)]) is None
    assert silenced_by(FACTS, NOW, [silence(rule, begins=1)]) is None
    assert silenced_by(FACTS, NOW, [silence({"rule": "blocked"})]) is None


def hours(**given: Any) -> Hours:
    return Hours(**{"from": "22:00", "to": "06:00", **given})


@pytest.mark.parametrize(
    ("span", "zone", "is_open"),
    [
        (hours(), "UTC", True),  # since yesterday evening
        (hours(days=("tue",)), "UTC", True),
        (hours(days=("wed",)), "UTC", False),  # begins only this evening
        (hours(to="05:30"), "UTC", False),
        (hours(), "Asia/Tokyo", False),  # 14:30 there
        (hours(**{"from": "05:30", "to": "24:00"}), "UTC", True),
        (hours(**{"from": "05:31", "to": "24:00"}), "UTC", False),
        (hours(**{"from": "00:00", "to": "24:00"}, days=("wed",)), "UTC", True),
    ],
)
def test_hours_go_over_midnight_by_their_own_clock(
    span: Hours, zone: str, *, is_open: bool
) -> None:
    assert is_within(span, NOW, zone) is is_open


def test_quiet_hours_silence_what_they_name() -> None:
    quiet = Quiet(
        **{"from": "05:00", "to": "06:00"},
        name="nightly",
        match={"rule": "replica_*"},
        why="the reports run",
    )
    assert silenced_by(FACTS, NOW, [], [quiet]) == "nightly"
    assert silenced_by({**FACTS, "rule": "blocked"}, NOW, [], [quiet]) is None
    assert silenced_by(FACTS, NOW + timedelta(hours=1), [], [quiet]) is None
