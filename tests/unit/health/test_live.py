"""The facts a migration is judged by."""

from typing import Any

import pytest

from shippyard.config.models import Database, Login
from shippyard.health.live import STALE_AFTER_S, LiveHealth
from shippyard.health.model import Row
from tests.conftest import FakeClock

ROLE = Login(user="m")
SHOP = Database(name="shop", dbname="shop_db", monitor=ROLE, backup=ROLE)
OTHER = Database(name="other", dbname="other_db", monitor=ROLE, backup=ROLE)

ROWS: dict[str, list[dict[str, Any]]] = {
    "connection_limits": [{"used_ratio": 0.25}],
    "blocking_edges": [
        {"datname": "shop_db", "blockers": []},
        {"datname": "shop_db", "blockers": [1]},
        {"datname": "other_db", "blockers": [2]},
        {"datname": "other_db", "blockers": [2]},
    ],
    "transactions": [
        {"datname": "shop_db", "longest_s": 12.0},
        {"datname": "other_db", "longest_s": 999.0},
    ],
    "replication_primary": [],
    "replication_standby": [{"in_recovery": False, "replay_delay_s": 0.0}],
}


@pytest.fixture
def live(clock: FakeClock) -> LiveHealth:
    made = LiveHealth([SHOP, OTHER], clock)
    for check, rows in ROWS.items():
        made.record("main", check, rows)
    return made


def test_each_database_has_its_own_facts(live: LiveHealth) -> None:
    facts, other = live.facts("shop"), live.facts("other")
    assert facts is not None
    assert other is not None
    assert (facts.blocked_sessions, facts.longest_transaction_s) == (1, 12.0)
    assert (other.blocked_sessions, other.longest_transaction_s) == (2, 999.0)
    assert (facts.in_recovery, facts.replication_lag_s) == (False, None)
    assert facts.connections_used_ratio == 0.25


def test_age_is_that_of_the_oldest_answer(live: LiveHealth, clock: FakeClock) -> None:
    clock.advance(10)
    live.record("main", "blocking_edges", [])
    facts = live.facts("shop")
    assert facts is not None
    assert facts.observed_age_s == 10


def test_what_is_stale_is_unknown(live: LiveHealth, clock: FakeClock) -> None:
    clock.advance(STALE_AFTER_S)
    assert live.facts("shop") is not None
    clock.advance(0.1)
    assert live.facts("shop") is None


@pytest.mark.parametrize("check", sorted(ROWS))
def test_without_one_of_the_answers_nothing_is_known(live: LiveHealth, check: str) -> None:
    live.forget("main", check)
    assert live.facts("shop") is None


def test_a_cluster_can_be_forgotten(live: LiveHealth) -> None:
    live.forget("elsewhere")
    assert live.facts("shop") is not None
    live.forget("main")
    assert live.facts("shop") is None


def test_an_unknown_database_is_unknown(live: LiveHealth) -> None:
    assert live.facts("nowhere") is None


@pytest.mark.parametrize(("since_reply_s", "expected"), [(5.0, 3.0), (None, 3.0), (45.0, 45.0)])
def test_lag_is_the_worst_receivers_and_silence_is_lag(
    live: LiveHealth, since_reply_s: float | None, expected: float
) -> None:
    rows: list[Row] = [
        {"replay_lag_s": 1.0, "since_reply_s": 1.0},
        {"replay_lag_s": 3.0, "since_reply_s": since_reply_s},
    ]
    live.record("main", "replication_primary", rows)
    facts = live.facts("shop")
    assert facts is not None
    assert facts.replication_lag_s == expected


def test_a_standbys_lag_is_its_own(live: LiveHealth) -> None:
    live.record("main", "replication_standby", [{"in_recovery": True, "replay_delay_s": 8.0}])
    facts = live.facts("shop")
    assert facts is not None
    assert (facts.in_recovery, facts.replication_lag_s) == (True, 8.0)
