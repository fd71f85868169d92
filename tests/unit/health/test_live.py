"""The facts a migration is judged by."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from shippyard.config.models import Database, Login
from shippyard.health.live import STALE_AFTER_S, LiveHealth, place_of
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

# Facts that are known by themselves: the rows of a check, and what they make of which fact.
SINGLE: dict[str, tuple[list[dict[str, Any]], str, Any]] = {
    "xmin_holders": (
        [
            {"datname": "shop_db", "others_s": 7.0},
            {"datname": "shop_db", "others_s": None},
            {"datname": "other_db", "others_s": 70.0},
        ],
        "oldest_snapshot_s",
        7.0,
    ),
    "prepared_xacts": ([{"datname": "shop_db", "oldest_s": 3.0}], "oldest_prepared_s", 3.0),
    "freeze_vacuums": (
        [
            {"datname": "shop_db", "relation": "public.users"},
            {"datname": "other_db", "relation": "public.orders"},
        ],
        "freeze_vacuums",
        ("public.users",),
    ),
    "autovacuums": (
        [
            {"datname": "shop_db", "relation": "public.users", "age_s": 61.0},
            {"datname": "other_db", "relation": "public.orders", "age_s": 7.0},
        ],
        "autovacuums",
        {"public.users": 61.0},
    ),
    "replication_slots": (
        [
            {"slot_name": "a", "active": True, "lost": False},
            {"slot_name": "b", "active": False, "lost": False},
            {"slot_name": "c", "active": False, "lost": True},
        ],
        "idle_slots",
        ("b",),
    ),
    "archiver": ([{"failing": True}], "archive_failing", True),
    "archiver_backlog": ([{"archiving": True, "oldest_s": 90.0}], "archive_waiting_s", 90.0),
    "storage": (
        [{"place": "data", "path": "/data"}, {"place": "fast", "path": "/fast"}],
        "disk_free_bytes",
        1000,
    ),
}
SPARE = {
    "indexes_unused": [{"relation": "public.users", "index_name": "public.a"}],
    "indexes_duplicate": [{"relation": "public.users", "index_names": "b, c"}],
}


def room(places: Sequence[Path], beside: Path) -> int | None:
    found = {Path("/data"): 5000, Path("/fast"): 1000}
    assert beside == Path("/var/run/postgresql/.s.PGSQL.5432")
    return min(found[place] for place in places)


@pytest.fixture
def live(clock: FakeClock) -> LiveHealth:
    made = LiveHealth([SHOP, OTHER], clock, room)
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


@pytest.mark.parametrize("check", sorted(SINGLE))
def test_a_fact_by_itself_is_known_while_it_is_fresh(
    live: LiveHealth, clock: FakeClock, check: str
) -> None:
    rows, name, expected = SINGLE[check]

    def told() -> Any:
        for needed, answer in ROWS.items():
            live.record("main", needed, answer)
        return getattr(live.facts("shop"), name)

    assert told() is None
    for every_s, fresh_s in ((5.0, STALE_AFTER_S), (60.0, 180.0)):
        live.record("main", check, rows, every_s=every_s)
        assert told() == expected
        clock.advance(fresh_s)
        assert told() == expected
        clock.advance(0.1)
        assert told() is None


def test_nothing_found_is_known_too(live: LiveHealth) -> None:
    for check in ("xmin_holders", "prepared_xacts", "freeze_vacuums", "replication_slots"):
        live.record("main", check, [])
    live.record("main", "archiver_backlog", [{"archiving": False, "oldest_s": 90.0}])
    facts = live.facts("shop")
    assert facts is not None
    assert (facts.oldest_snapshot_s, facts.oldest_prepared_s, facts.archive_waiting_s) == (0, 0, 0)
    assert (facts.freeze_vacuums, facts.idle_slots) == ((), ())


def test_indexes_are_each_databases_own(live: LiveHealth) -> None:
    for check, rows in SPARE.items():
        live.record(place_of(SHOP), check, rows)
    facts, other = live.facts("shop"), live.facts("other")
    assert facts is not None
    assert other is not None
    assert facts.spare_indexes == {"public.users": ("public.a (unused)", "b, c (the same)")}
    assert other.spare_indexes is None
    live.forget(place_of(SHOP))
    forgotten = live.facts("shop")
    assert forgotten is not None
    assert forgotten.spare_indexes is None


def test_a_disk_that_is_not_here_is_unknown(clock: FakeClock) -> None:
    far = SHOP.model_copy(update={"host": "db.example.com"})
    made = LiveHealth([far], clock, room)
    for check, rows in {**ROWS, "storage": SINGLE["storage"][0]}.items():
        made.record("main", check, rows)
    facts = made.facts("shop")
    assert facts is not None
    assert facts.disk_free_bytes is None


def test_a_data_directory_that_is_not_told_is_unknown(live: LiveHealth) -> None:
    live.record("main", "storage", [{"place": "fast", "path": "/fast"}])
    facts = live.facts("shop")
    assert facts is not None
    assert facts.disk_free_bytes is None
