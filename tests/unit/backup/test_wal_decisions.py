"""What the WAL part decides without touching anything: begin, gaps, loss, slot, loss zero."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shippyard.backup.wal.begin import Server, ServerBehind, begin_at
from shippyard.backup.wal.gaps import Noted, settle
from shippyard.backup.wal.loss import LossClock
from shippyard.backup.wal.names import Segment, Switch
from shippyard.backup.wal.scan import BasePosition, Gap
from shippyard.backup.wal.slot import Disk, Owned, Past, SlotFacts, judge
from shippyard.backup.wal.synchronous import check, parse_standbys
from shippyard.backup.wal.timeline import holes, recoverable

SIZE = 16 * 1024 * 1024
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def base(number: int, finished_at: datetime = NOW, timeline: int = 1) -> BasePosition:
    return BasePosition(f"base-{number}", Segment(timeline, number), finished_at)


# Where to begin


def server(timeline: int = 1, at: int = 100, history: tuple[Switch, ...] = ()) -> Server:
    return Server(timeline, at * SIZE + 5, history, SIZE)


ONE_TO_TWO = (Switch(1, 50 * SIZE + 9),)
ONE_TO_THREE = (Switch(1, 60 * SIZE + 9),)


@pytest.mark.parametrize(
    ("where", "needed", "held", "expected"),
    [
        # nothing is kept: the slot decides
        (server(), None, set(), None),
        (server(), Segment(1, 90), {1}, Segment(1, 90)),
        (server(), Segment(1, 100), {1}, Segment(1, 100)),
        # promoted after what we have: follow the old timeline into the new one
        (server(2, history=ONE_TO_TWO), Segment(1, 40), {1}, Segment(1, 40)),
        (server(2, history=ONE_TO_TWO), Segment(1, 50), {1}, Segment(1, 50)),
        # promoted on the boundary that we are at: the old one has nothing more to give
        (server(2, history=(Switch(1, 50 * SIZE),)), Segment(1, 50), {1}, Segment(2, 50)),
        # promoted before what we have: the new timeline begins where it branched off
        (server(2, history=ONE_TO_TWO), Segment(1, 55), {1}, Segment(2, 50)),
        # another branch than ours: from where both were one
        (server(3, history=ONE_TO_THREE), Segment(2, 70), {1, 2}, Segment(3, 60)),
        # nothing in common: the slot decides
        (server(3, history=ONE_TO_THREE), Segment(2, 70), {2}, None),
    ],
)
def test_where_receiving_begins(
    where: Server, needed: Segment | None, held: set[int], expected: Segment | None
) -> None:
    assert begin_at(where, needed, held) == expected


@pytest.mark.parametrize("needed", [Segment(1, 101), Segment(2, 40)])
def test_a_server_that_was_set_back_is_refused(needed: Segment) -> None:
    with pytest.raises(ServerBehind, match="take a base backup"):
        begin_at(server(), needed, {1})


# Gaps

GAP = Gap(1, 5, 5, "missing")


def noted(gap: Gap = GAP, *, closed: bool = False) -> Noted:
    return Noted(7, gap, NOW, after(5) if closed else None)


def test_a_new_gap_is_opened_and_stays_open() -> None:
    assert settle([], [GAP], []).begun == (GAP,)
    settled = settle([noted()], [GAP], [base(1, after(60))])
    assert (settled.begun, settled.over, settled.open) == ((), (), (GAP,))


def test_a_mended_gap_is_over() -> None:
    assert settle([noted()], [], []).over == (7,)


@pytest.mark.parametrize(
    ("behind", "over"),
    [
        (base(6, after(60)), True),
        (base(6, after(-60)), False),  # it was there when the gap was found
        (base(5, after(60)), False),  # it needs what is missing
    ],
)
def test_a_newer_base_behind_it_makes_a_gap_harmless(behind: BasePosition, over: bool) -> None:  # noqa: FBT001  a table
    settled = settle([noted()], [GAP], [behind])
    assert (settled.over == (7,)) is over
    assert (settled.open == ()) is over


def test_a_harmless_gap_is_not_opened_again_until_that_base_goes() -> None:
    assert settle([noted(closed=True)], [GAP], [base(6, after(60))]).begun == ()
    assert settle([noted(closed=True)], [GAP], []).begun == (GAP,)


# Loss


def test_what_we_have_covers_the_time_until_the_server_went_on() -> None:
    clock = LossClock()
    for second, lsn, snapshot in ((0, 100, "a"), (10, 200, "b"), (20, 300, "c")):
        clock.observe(after(second), lsn, snapshot)
    assert clock.covered_until(300) == after(20)
    assert clock.covered_until(250) == after(10)
    assert clock.covered_until(100) == NOW
    assert clock.covered_until(99) is None


def test_an_idle_server_loses_nothing_though_its_own_wal_goes_on() -> None:
    clock = LossClock()
    clock.observe(NOW, 100, "a")
    clock.observe(after(60), 180, "a")  # a checkpoint, for example: nothing was committed
    assert clock.covered_until(100) == after(60)
    clock.observe(after(70), 200, "b")
    clock.observe(after(80), 200, "b")
    assert clock.covered_until(100) == after(60)
    assert clock.covered_until(200) == after(80)


def test_what_is_remembered_is_bounded() -> None:
    clock = LossClock(kept_max=10)
    for second in range(100):
        clock.observe(after(second), 100 + second, str(second))
    assert clock.covered_until(150) is None
    assert clock.covered_until(195) == after(95)


# Slot

FACTS = SlotFacts(
    exists=True, active=True, retained_bytes=0, keep_limit_mb=1024, segment_bytes=SIZE
)
GB = 1024**3
ROOMY, FULL = Disk(50 * GB, 100 * GB), Disk(5 * GB, 100 * GB)


@pytest.mark.parametrize(
    ("facts", "disk", "may_drop", "action", "severity"),
    [
        (FACTS, ROOMY, True, "none", "ticket"),
        (replace(FACTS, keep_limit_mb=-1), ROOMY, True, "warn", "ticket"),
        (replace(FACTS, retained_bytes=8 * GB), ROOMY, True, "none", "ticket"),
        (replace(FACTS, retained_bytes=8 * GB), FULL, True, "drop", "page"),
        (replace(FACTS, retained_bytes=8 * GB), FULL, False, "warn", "page"),
        # somebody else fills the disk: without the slot it would be as full
        (replace(FACTS, retained_bytes=2 * SIZE), FULL, True, "none", "ticket"),
        (replace(FACTS, retained_bytes=8 * GB), None, True, "none", "ticket"),
        (replace(FACTS, retained_bytes=20 * GB), None, True, "warn", "page"),
        (replace(FACTS, exists=False, retained_bytes=None), ROOMY, True, "warn", "page"),
        (replace(FACTS, lost=True, retained_bytes=None), FULL, True, "warn", "page"),
    ],
)
def test_what_a_slot_asks_for(
    facts: SlotFacts,
    disk: Disk | None,
    may_drop: bool,  # noqa: FBT001  a table
    action: str,
    severity: str,
) -> None:
    judged = judge(Owned("s", "main"), facts, disk, reserve_ratio=0.1, may_drop=may_drop)
    assert (judged.action, judged.severity) == (action, severity)
    assert bool(judged.line) is (action != "none")


GONE = replace(FACTS, exists=False, retained_bytes=None)


@pytest.mark.parametrize(
    ("past", "facts", "action", "word", "command"),
    [
        ("expected", GONE, "wait", "", ""),
        ("never", GONE, "warn", "not made yet", "systemctl enable --now shippyard-wal@main"),
        ("never", GONE, "warn", "not made yet", "shippyard wal receive main --create-slot"),
        ("seen", GONE, "warn", "is gone", "systemctl restart shippyard-wal@main"),
        ("seen", GONE, "warn", "is gone", "shippyard ctl backup run @main --kind base"),
        (
            "seen",
            replace(FACTS, lost=True),
            "warn",
            "invalidated",
            "systemctl restart shippyard-wal@main",
        ),
    ],
)
def test_a_slot_that_is_not_there_is_told_by_what_was_seen_before(
    past: Past, facts: SlotFacts, action: str, word: str, command: str
) -> None:
    judged = judge(Owned("s", "main", past), facts, ROOMY, reserve_ratio=0.1, may_drop=True)
    assert judged.action == action
    assert word in judged.line
    assert command in judged.line


# Loss zero


def row(**changes: Any) -> dict[str, Any]:
    there = {"name": "elsewhere", "state": "quorum", "address": "10.0.0.2", "is_local": False}
    here = {"name": "shippyard", "state": "quorum", "address": None, "is_local": True}
    good = {
        "synchronous_commit": "on",
        "synchronous_standby_names": "ANY 1 (shippyard, elsewhere)",
        "receivers": [here, there],
    }
    return good | changes


def refusals(**changes: Any) -> list[str]:
    lines = check(row(**changes), ours="shippyard", second="elsewhere")
    return [line.text for line in lines if not line.ok]


def test_loss_zero_with_two_receivers_is_fine() -> None:
    assert refusals() == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"synchronous_commit": "remote_apply"}, "every commit would hang"),
        ({"synchronous_commit": "local"}, "no commit waits"),
        ({"synchronous_standby_names": "shippyard"}, "does not list elsewhere"),
        ({"synchronous_standby_names": "ANY 2 (shippyard, elsewhere)"}, "every commit hangs"),
        ({"synchronous_standby_names": ""}, "does not list shippyard"),
        ({"receivers": []}, "does not receive now"),
        (
            {
                "receivers": [
                    {"name": "shippyard", "is_local": True, "address": None},
                    {"name": "elsewhere", "is_local": True, "address": "127.0.0.1"},
                ]
            },
            "own host",
        ),
    ],
)
def test_what_loss_zero_refuses(changes: dict[str, Any], said: str) -> None:
    assert any(said in text for text in refusals(**changes))


@pytest.mark.parametrize(
    ("setting", "needed", "names"),
    [
        ("", 0, ()),
        ("a", 1, ("a",)),
        ("a, b", 1, ("a", "b")),
        ("2 (a, b, c)", 2, ("a", "b", "c")),
        ('first 1 ("A b", c)', 1, ("A b", "c")),
        ("ANY 1 (*)", 1, ("*",)),
    ],
)
def test_standby_names_are_understood(setting: str, needed: int, names: tuple[str, ...]) -> None:
    standbys = parse_standbys(setting)
    assert (standbys.needed, standbys.names) == (needed, names)


# What can be recovered

ARRIVED = {number: after(number * 60) for number in range(1, 21)}


def test_bases_before_the_same_end_are_one_range() -> None:
    ranges = recoverable([base(1, after(90)), base(9, after(600))], [], ARRIVED, after(2000))
    (only,) = ranges
    assert (only.begins_at, only.ends_at, only.bases, only.is_open) == (
        after(90),
        after(2000),
        ("base-1", "base-9"),
        True,
    )


def test_a_hole_ends_what_comes_before_it() -> None:
    gap = Gap(1, 5, 6, "missing")
    arrived = {n: at for n, at in ARRIVED.items() if n not in (5, 6)}
    before, behind = recoverable(
        [base(1, after(90)), base(9, after(600))], [gap], arrived, after(2000)
    )
    assert (before.begins_at, before.ends_at, before.is_open) == (after(90), after(240), False)
    assert (behind.begins_at, behind.ends_at, behind.is_open) == (after(600), after(2000), True)
    (hole,) = holes([gap], arrived)
    assert (hole.after, hole.before) == (after(240), after(420))


def test_a_base_whose_own_wal_is_missing_is_one_moment() -> None:
    (only,) = recoverable([base(5, after(330))], [Gap(1, 5, 5, "missing")], ARRIVED, None)
    assert (only.begins_at, only.ends_at) == (after(330), after(330))
