"""The tree of lock waits, on edges made by hand."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from shippyard.health.action import PREPARED, UNSEEN, ending
from shippyard.health.blocking import (
    DEADLOCK,
    DRAWN_LINES,
    VICTIMS_TOLD,
    Tree,
    draw,
    evidence_of,
    facts_of,
    tree_of,
)

START = datetime(2026, 3, 4, 5, 6, 7, 123456, tzinfo=UTC)


def row(pid: int, blockers: tuple[int, ...] = (), **changes: Any) -> dict[str, Any]:
    waits = bool(blockers)
    return {
        "pid": pid,
        "backend_start": START,
        "datname": "shippyar",
        "usename": "app",
        "application_name": "web",
        "state": "active" if waits else "idle in transaction",
        "state_age_s": 30.0,
        "query": f"UPDATE t /* {pid} */",
        "locktype": "transactionid" if waits else None,
        "mode": "ShareLock" if waits else None,
        "relation": None,
        "wait_s": 1.0 if waits else None,
        "blockers": list(blockers),
        **changes,
    }


def root_pids(tree: Tree) -> list[int]:
    return [root.party.pid for root in tree.roots]


def test_nobody_waits() -> None:
    tree = tree_of([])
    assert (tree.roots, tree.victims, tree.longest_wait_s, tree.depth) == ((), (), 0.0, 0)
    assert draw(tree) == ""


def test_one_blocks_one() -> None:
    tree = tree_of([row(1), row(2, (1,), wait_s=7.5)])
    (root,) = tree.roots
    assert (root.party.pid, root.victims, root.depth, root.longest_wait_s) == (1, (2,), 1, 7.5)
    assert not root.is_deadlock


def test_a_waiter_just_served_is_no_victim() -> None:
    assert tree_of([row(2, (), locktype="tuple", mode="ShareLock", wait_s=0.1)]).victims == ()


def test_hot_row_of_500_waiters_each_behind_all_before_it() -> None:
    # 124,750 edges, and 2^499 paths from the last waiter to the root: to walk them never ends.
    rows = [row(1), *(row(n, tuple(range(1, n)), wait_s=600.0 - n) for n in range(2, 502))]
    tree = tree_of(rows)
    text = draw(tree)
    assert root_pids(tree) == [1]
    assert len(tree.roots[0].victims) == 500
    assert tree.roots[0].depth == 1
    assert len(text.splitlines()) == 10
    assert text.endswith("└─ … and 492 more")


def test_a_chain_a_thousand_long() -> None:
    tree = tree_of([row(1), *(row(n, (n - 1,)) for n in range(2, 1001))])
    assert (root_pids(tree), tree.depth, len(tree.roots[0].victims)) == ([1], 999, 999)
    assert tree.roots[0].victims[:3] == (2, 3, 4)
    assert len(draw(tree).splitlines()) == DRAWN_LINES + 1


def test_roots_are_ranked_by_all_who_wait_because_of_them() -> None:
    tree = tree_of([row(1), row(9), row(2, (1,)), row(3, (9,)), row(4, (3,)), row(5, (4,))])
    assert [(r.party.pid, len(r.victims)) for r in tree.roots] == [(9, 3), (1, 1)]


def test_a_victim_of_two_counts_for_both_and_is_drawn_once() -> None:
    tree = tree_of([row(1), row(2), row(3, (1, 2))])
    assert [r.victims for r in tree.roots] == [(3,), (3,)]
    assert draw(tree).count("pid 3 ") == 1
    assert len(tree.victims) == 1


def test_a_cycle_ends_and_is_told_as_a_deadlock() -> None:
    tree = tree_of([row(1, (2,)), row(2, (1,), wait_s=4.0), row(3, (2,))])
    (root,) = tree.roots
    assert root.is_deadlock
    assert root.action == DEADLOCK
    assert root.party.pid in (1, 2)
    assert len(root.victims) == 2
    assert root.longest_wait_s == 4.0
    assert len(tree.victims) == 3


def test_the_member_told_is_on_the_cycle_and_not_downstream_of_it() -> None:
    # 10 waits for 11, which waits for the cycle 20-21.
    rows = [row(10, (11,)), row(11, (20,)), row(20, (21,)), row(21, (20,))]
    tree = tree_of(rows)
    assert tree.roots_total == 1
    assert root_pids(tree)[0] in (20, 21)
    assert len(tree.roots[0].victims) == 3


def test_a_session_that_waits_for_itself_does_not_hang() -> None:
    assert tree_of([row(1, (1,))]).roots[0].is_deadlock


def test_a_prepared_transaction_is_a_root_that_no_signal_ends() -> None:
    nobody = row(0, backend_start=None, usename=None, application_name=None, state=None, query=None)
    tree = tree_of([nobody, row(5, (0,))])
    assert root_pids(tree) == [0]
    assert tree.roots[0].action == PREPARED
    assert "prepared transaction" in facts_of(tree)["root"]


def test_a_blocker_that_has_just_ended_is_still_a_root() -> None:
    tree = tree_of([row(5, (77,))])
    assert root_pids(tree) == [77]
    assert tree.roots[0].action == UNSEEN


def test_a_ddl_queue_is_told_apart_from_a_row_queue() -> None:
    ddl = row(2, (1,), mode="AccessExclusiveLock", locktype="relation", relation="public.users")
    behind = [row(n, (2,), mode="AccessShareLock", locktype="relation") for n in (3, 4, 5)]
    queued_row = row(6, (1,), mode="AccessExclusiveLock", locktype="tuple")
    tree = tree_of([row(1), ddl, *behind, queued_row])
    (queue,) = tree.ddl_queues
    assert (queue.party.pid, queue.queued_behind) == (2, 3)
    assert root_pids(tree) == [1]
    hint = facts_of(tree)["ddl_hint"]
    assert "DDL of pid 2 on public.users" in hint
    assert "3 queue behind" in hint


def test_ddl_with_nobody_behind_it_gets_no_hint() -> None:
    ddl = row(2, (1,), mode="AccessExclusiveLock", locktype="relation")
    assert facts_of(tree_of([row(1), ddl]))["ddl_hint"] == ""


@pytest.mark.parametrize(
    ("state", "function"),
    [
        ("active", "pg_cancel_backend"),
        ("fastpath function call", "pg_cancel_backend"),
        ("idle in transaction", "pg_terminate_backend"),
        ("idle in transaction (aborted)", "pg_terminate_backend"),
        ("idle", "pg_terminate_backend"),
    ],
)
def test_the_command_fits_the_state_and_names_one_session_only(state: str, function: str) -> None:
    assert ending(42, START, state) == (
        f"SELECT {function}(pid) FROM pg_stat_activity "
        "WHERE pid = 42 AND backend_start = '2026-03-04 05:06:07.123456+00:00'"
    )


def test_evidence_is_json_and_bounded() -> None:
    rows = [row(n) for n in range(1, 31)]
    rows += [row(100 + n, (1 + n % 30,), query="x" * 1024, wait_s=float(n)) for n in range(500)]
    evidence = evidence_of(tree_of(rows))
    assert len(json.dumps(evidence)) < 48 * 1024
    assert (evidence["roots_total"], evidence["victims_total"]) == (30, 500)
    assert len(evidence["victims"]) == VICTIMS_TOLD
    assert evidence["victims"][0]["wait_s"] == 499.0
    assert evidence["roots"][0].keys() >= {
        "pid", "backend_start", "user", "application", "state", "query", "victims",
        "longest_wait_s", "action",
    }  # fmt: skip


def test_the_drawing() -> None:
    rows = [
        row(1, query="UPDATE a"),
        row(2, (1,), wait_s=9.0, query="UPDATE\n  b"),
        row(3, (2,), wait_s=8.0, query=None),
        row(4, (1,), wait_s=7.0, relation="public.a", query="SELECT 1"),
    ]
    assert draw(tree_of(rows)).splitlines() == [
        "pid 1 app (web), idle in transaction for 30 s: UPDATE a",
        "├─ pid 2 app (web) waits 9.0 s for ShareLock on transactionid: UPDATE b",
        "│  └─ pid 3 app (web) waits 8.0 s for ShareLock on transactionid",
        "└─ pid 4 app (web) waits 7.0 s for ShareLock on public.a: SELECT 1",
    ]
