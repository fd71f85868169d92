"""How long a lock is asked for, and what keeps a session polite."""

from datetime import UTC, datetime

import pytest

from shippyard.migration.expecting import expected
from shippyard.migration.manners import CONCURRENTLY, Manners, laxer, milliseconds
from shippyard.migration.patience import Patience, statement_timeout_s
from shippyard.migration.rehearsal.report import LockHeld, Passage, Recorded, Report, Statement
from shippyard.migration.waits import Spans, holders, shown
from shippyard.migration.watchdog import Blocked, eta_s, what_to_do

PATIENCE = Patience(lock_min_ms=50, lock_max_ms=200, attempts=30, pause_s=1.0)
MANNERS = Manners(lock_ms=100, statement_ms=10_000, longest_ms=3_600_000, server_version=150_000)


@pytest.mark.parametrize(
    ("seen_ms", "attempt", "lock_ms"),
    [
        ([], 1, 50),
        ([1.0] * 20, 1, 50),
        ([41.0] * 16, 1, 82),
        ([41.0] * 16, 2, 123),
        ([41.0] * 16, 9, 200),
        ([5.0] * 99 + [150.0], 1, 50),  # one slow transaction of a hundred decides nothing
        ([150.0] * 16, 1, 200),
    ],
)
def test_a_lock_is_asked_for_as_long_as_transactions_take(
    seen_ms: list[float], attempt: int, lock_ms: int
) -> None:
    assert PATIENCE.lock_ms(seen_ms, attempt) == lock_ms


def test_the_longest_bound_wins() -> None:
    assert Patience(50, 30, 1, 1.0).lock_ms([], 1) == 30


def test_pauses_grow_within_bounds_and_are_never_the_same() -> None:
    pauses = [PATIENCE.pause_after_s(attempt, 0.5) for attempt in (1, 2, 3, 10, 30)]
    assert pauses == [1.0, 1.5, 2.25, 3.0, 3.0]
    assert PATIENCE.pause_after_s(1, 0.0) == 0.5
    assert PATIENCE.pause_after_s(1, 1.0) == 1.5


def test_nothing_is_tried_for_ever() -> None:
    assert not PATIENCE.is_last(29, 2)
    assert PATIENCE.is_last(30, 0)
    assert PATIENCE.is_last(3, 3)


@pytest.mark.parametrize(
    ("expected_s", "timeout_s"), [(None, 3600), (0.01, 10), (60, 600), (9999, 3600)]
)
def test_a_statement_may_take_ten_times_its_rehearsal(
    expected_s: float | None, timeout_s: float
) -> None:
    assert statement_timeout_s(expected_s, 3600.0) == timeout_s


def test_only_what_is_laxer_is_set_back() -> None:
    as_agreed = {name: f"{value}ms" for name, value in MANNERS.wanted().items()}
    as_agreed["row_security"] = "off"
    assert laxer(MANNERS.wanted(), as_agreed) == ()
    assert laxer(MANNERS.wanted(), {**as_agreed, "lock_timeout": "20ms"}) == ()
    assert laxer(MANNERS.wanted(), {**as_agreed, "lock_timeout": "0"}) == ("lock_timeout",)
    assert laxer(MANNERS.wanted(), {**as_agreed, "lock_timeout": "2s"}) == ("lock_timeout",)
    assert laxer(MANNERS.wanted(), {**as_agreed, "row_security": "on"}) == ("row_security",)
    assert laxer(MANNERS.wanted(concurrent=True), {**as_agreed, "lock_timeout": "1h"}) == ()


@pytest.mark.parametrize(
    ("shown_", "ms"), [("0", 0), ("100ms", 100), ("1s", 1000), ("1h", 3_600_000), ("10min", 6e5)]
)
def test_times_are_read_as_the_server_shows_them(shown_: str, ms: float) -> None:
    assert milliseconds(shown_) == ms


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE INDEX CONCURRENTLY i ON t (a)",
        "create unique index concurrently if not exists i on t (a)",
        "-- why\nDROP INDEX /* yes */ CONCURRENTLY i",
        "REINDEX INDEX CONCURRENTLY i",
        "ALTER TABLE t DETACH PARTITION p CONCURRENTLY",
    ],
)
def test_what_is_concurrent(statement: str) -> None:
    assert CONCURRENTLY.match(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE t ADD COLUMN c int -- do not CREATE INDEX CONCURRENTLY",
        "REFRESH MATERIALIZED VIEW CONCURRENTLY v",  # it takes EXCLUSIVE
        "CREATE INDEX i ON t (a) WHERE b = 'CONCURRENTLY'",
        "ALTER TABLE t DETACH PARTITION p",
    ],
)
def test_what_is_not(statement: str) -> None:
    assert not CONCURRENTLY.match(statement)


def test_somebody_may_have_waited_since_the_look_before() -> None:
    blocked = Blocked()
    assert blocked.see([], 1000.0) == 0.0
    assert blocked.see([7], 1050.0) == 50.0
    assert blocked.see([7, 8], 1300.0) == 300.0
    assert blocked.see([8], 1350.0) == 300.0
    assert blocked.see([], 1400.0) == 0.0
    assert blocked.see([8], 1450.0) == 50.0


@pytest.mark.parametrize(
    ("blocked_ms", "since_cancel_ms", "idle", "action"),
    [
        (299.0, None, False, None),
        (300.0, None, False, "cancel"),
        (400.0, 100.0, False, None),
        (450.0, 150.0, False, "end"),
        (300.0, None, True, "end"),  # there is nothing to cancel
        (0.0, 500.0, True, None),
    ],
)
def test_what_is_in_the_way_is_cancelled_and_then_ended(
    blocked_ms: float,
    since_cancel_ms: float | None,
    idle: bool,  # noqa: FBT001  a case
    action: str | None,
) -> None:
    assert what_to_do(blocked_ms, 300.0, since_cancel_ms, idle=idle) == action


def test_how_long_it_may_still_take() -> None:
    assert eta_s(10.0, 25.0, 999.0) == 30.0
    assert eta_s(10.0, None, 12.0) == 2.0
    assert eta_s(20.0, None, 12.0) == 0.0
    assert eta_s(10.0, None, None) is None


def row(name: str, mode: str, age_ms: float | None) -> dict[str, object]:
    return {
        "transaction": name,
        "pid": 7,
        "mode": mode,
        "relation": "public.t",
        "age_ms": age_ms,
        "user": "app",
        "application": "shop",
        "state": "active",
        "query": "SELECT 1",
    }


def test_only_locks_in_the_way_count() -> None:
    rows = [row("1/1", "AccessShareLock", 900.0), row("2/2", "RowExclusiveLock", 10.0)]
    found = holders(rows, {"public.t": "AccessExclusiveLock"}, Spans(), 0.0)
    assert [each.transaction for each in found] == ["1/1", "2/2"]
    assert [e.transaction for e in holders(rows, {"public.t": "ShareLock"}, Spans(), 0.0)] == [
        "2/2"
    ]


def test_ages_that_may_not_be_read_are_seen_by_looking_again() -> None:
    spans = Spans()
    for now_ms in (0.0, 100.0, 250.0):
        (found,) = holders(
            [row("1/1", "AccessShareLock", None)],
            {"public.t": "AccessExclusiveLock"},
            spans,
            now_ms,
        )
    assert found.age_ms == 250.0
    assert spans.lasted_ms == [250.0]


def test_statements_are_shown_without_what_is_in_them() -> None:
    query = "SELECT * FROM users WHERE email = 'ana@example.org'\n  AND id = 4711 AND x = $$y$$"
    assert shown(query) == "SELECT * FROM users WHERE email = ? AND id = ? AND x = ?"
    assert len(shown("SELECT " + "a, " * 100)) == 80


def report() -> Report:
    up = Recorded(
        locks=(
            LockHeld("ShareLock", "public.t", 400.0, "002"),
            LockHeld("AccessExclusiveLock", "public.t", 5.0, "002"),
            LockHeld("ShareUpdateExclusiveLock", "public.u", 9000.0, "003"),
            LockHeld("AccessExclusiveLock", "public.v", 5.0, None),
        )
    )
    down = Recorded(statements=(Statement("x", 500.0, 0, "002"), Statement("y", 250.0, 0, "002")))
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Report(
        "h1", "shop", "c", "001", "003", "f", "s", "b", "t", now, now, "passed", None,
        (Passage("up", up), Passage("down", down)),
        (), (), (), {"002": 0.5, "003": 9.0}, 1, (), {},
    )  # fmt: skip


def test_a_rehearsal_says_what_to_expect() -> None:
    found = expected(report(), "up", may_block=True)
    assert found.elapsed_s == {"002": 0.5, "003": 9.0}
    assert found.locks == {
        "002": {"public.t": "AccessExclusiveLock"},
        "003": {"public.u": "ShareUpdateExclusiveLock"},
    }
    assert found.may_block_ms == {"002": 800.0}
    assert expected(report(), "up", may_block=False).may_block_ms == {}
    assert expected(report(), "down", may_block=True).elapsed_s == {"002": 0.75}
    assert expected(None, "up", may_block=True).locks == {}
