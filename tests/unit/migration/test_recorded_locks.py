import json
from typing import Any

import pytest

from shippyard.migration.recording import holdings
from shippyard.migration.recording.holdings import Holding, Holdings
from shippyard.migration.recording.modes import CONFLICTS, READER, WRITER, blocks, longest_s
from shippyard.migration.recording.observing import BEGINS, LETS_GO, Knock, Observation, parse
from shippyard.migration.recording.pauses import Pauses
from shippyard.migration.recording.relations import (
    Relation,
    rewritten,
    scanned,
    told_rewrites,
)
from shippyard.migration.recording.statements import Statements
from shippyard.migration.recording.telling import Evidence, blocked_of, locks_of
from shippyard.migration.rehearsal.report import Blocked, LockHeld

AX, SHARE, SUE = "AccessExclusiveLock", "ShareLock", "ShareUpdateExclusiveLock"
SRX, EX, ROW_SHARE = "ShareRowExclusiveLock", "ExclusiveLock", "RowShareLock"

# The documentation's table, a line per lock that is wanted, a column per lock that is held.
MODES = (READER, ROW_SHARE, WRITER, SUE, SHARE, SRX, EX, AX)
TABLE = """
.......X
......XX
....XXXX
...XXXXX
..XX.XXX
..XXXXXX
.XXXXXXX
XXXXXXXX
"""


def look(
    at_s: float,
    locks: str = "",
    *,
    sessions: Any = (),
    knocks: str = "",
    opened: tuple[list[int], float] = ([], 0.0),
    late: int = 0,
    every_s: float = 0.002,
) -> Observation:
    return parse(
        json.dumps(
            {
                "before": at_s - every_s,
                "at": at_s,
                "told": at_s,
                "locks": locks,
                "sessions": list(sessions),
                "knocks": knocks,
                "rewrites": "",
                "opened": opened[0],
                "opened_at": opened[1] or None,
                "late": late,
            }
        )
    )


def observed(*looks: Observation, at_s: float = 99.0) -> list[Holding]:
    pauses = Pauses()
    built = Holdings(pauses)
    for each in looks:
        pauses.observe(each)
        built.observe(each)
    return built.held(at_s)


@pytest.mark.parametrize("wanted", range(len(MODES)))
@pytest.mark.parametrize("held", range(len(MODES)))
def test_modes_conflict_as_documented(held: int, wanted: int) -> None:
    expected = TABLE.split()[wanted][held] == "X"
    assert blocks(MODES[held], MODES[wanted]) is expected


def test_conflicts_go_both_ways() -> None:
    assert all(one in CONFLICTS[two] for one in CONFLICTS for two in CONFLICTS[one])


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([], 0.0),
        ([(1, 2)], 1.0),
        ([(1, 3), (2, 5)], 4.0),
        ([(1, 6), (2, 3)], 5.0),
        ([(1, 2), (2, 3)], 1.0),  # between two transactions somebody gets through
        ([(5, 6), (1, 3)], 2.0),
    ],
)
def test_longest_time_without_a_moment_between(
    spans: list[tuple[float, float]], expected: float
) -> None:
    assert longest_s(spans) == expected


def test_a_lock_is_held_from_the_middle_of_one_gap_to_that_of_another() -> None:
    [held] = observed(look(1.0), look(1.002, f"7 3/1 500 {AX}"), look(2.0), every_last())
    assert (held.oid, held.mode) == (500, AX)
    assert held.since_s == pytest.approx(1.001)
    assert held.until_s == pytest.approx(1.999)


def every_last() -> Observation:
    return look(2.002)


def test_a_statement_that_began_later_narrows_the_gap() -> None:
    running = [[7, "active", 1.3, 1.3, None, "ALTER"]]
    held = observed(look(1.5, f"7 3/1 500 {AX}", sessions=running, every_s=0.5))
    assert held[0].since_s == pytest.approx(1.4)


def test_a_session_at_rest_says_when_its_lock_ended() -> None:
    idle = [[7, "idle", 1.0, 1.25, None, "ALTER"]]
    held = observed(look(1.0, f"7 3/1 500 {AX}"), look(1.5, sessions=idle, every_s=0.5))
    assert held[0].until_s == pytest.approx(1.25)


def test_transactions_one_after_the_other_are_apart() -> None:
    held = observed(look(1.0, f"7 3/1 500 {AX}"), look(1.002, f"7 3/2 500 {AX}"), look(1.004))
    assert len(held) == 2


def test_a_transaction_that_is_over_but_for_its_locks_is_the_same() -> None:
    held = observed(look(1.0, f"7 3/1 500 {AX}"), look(1.002, f"7 3/0 500 {AX}"), look(1.004))
    assert len(held) == 1


def test_a_concurrent_build_holds_its_lock_over_its_transactions() -> None:
    building = [[7, "active", 0.9, 0.9, None, "CREATE INDEX CONCURRENTLY"]]
    looks = [look(1.0 + n / 100, f"7 3/{n} 500 {SUE}", sessions=building) for n in range(1, 9)]
    assert len(observed(*looks)) == 1


def test_two_commands_of_that_mode_are_apart() -> None:
    first = look(1.0, f"7 3/1 500 {SUE}", sessions=[[7, "active", 0.9, 0.9, None, "A"]])
    second = look(1.1, f"7 3/2 500 {SUE}", sessions=[[7, "active", 1.05, 1.05, None, "B"]])
    assert len(observed(first, second)) == 2


def test_waiting_for_us_is_not_counted() -> None:
    held = observed(
        look(1.0, f"7 3/1 500 {AX}"),
        look(1.01, f"7 3/1 500 {AX}", knocks=f"7 {LETS_GO} 1.005"),
        look(1.5, f"7 3/1 500 {AX}", opened=([LETS_GO], 1.405)),
        look(2.0, opened=([LETS_GO], 1.405)),
    )
    assert held[0].held_s == pytest.approx(0.6, abs=0.005)


def test_a_starved_watcher_takes_the_time_at_which_the_session_knocked() -> None:
    before = look(1.0, knocks=f"7 {BEGINS} 0.999")
    after = look(
        1.5,
        f"7 3/1 500 {AX}",
        knocks=f"7 {LETS_GO} 1.005",
        opened=([BEGINS], 1.001),
        every_s=0.5,
    )
    pauses = Pauses()
    built = Holdings(pauses)
    for each in (before, after):
        pauses.observe(each)
        built.observe(each)
    assert built.held(1.5)[0].since_s == pytest.approx(1.003 - pauses.waited_s(7))


def test_a_knock_without_a_time_is_as_old_as_its_look() -> None:
    assert look(1.0, knocks=f"7 {LETS_GO}").knocks == {Knock(7, LETS_GO, 1.0)}


def test_holdings_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holdings, "HOLDINGS_MAX", 3)
    looks = [look(1.0 + n / 100, f"7 3/{n} 500 {AX}") for n in range(1, 50)]
    assert len(observed(*looks)) == 5  # three, the longest of the rest, and what is held now


def test_a_holding_belongs_to_the_revision_that_it_ran_in() -> None:
    built = Holdings(Pauses())
    built.observe(look(1.0, f"7 3/1 500 {AX}"))
    built.revision = "001"
    built.observe(look(1.002, f"7 3/1 500 {AX}"))
    built.observe(look(1.004))
    assert [each.revision for each in built.held(2.0)] == ["001"]


def test_what_is_none_of_the_watchers_is_refused() -> None:
    with pytest.raises(ValueError, match="not what the watcher says"):
        parse("{}")


def ran(*looks: Observation, at_s: float = 99.0) -> list[tuple[str, float]]:
    pauses = Pauses()
    built = Statements(pauses)
    for each in looks:
        pauses.observe(each)
        built.observe(each)
    return [(each.text, round(each.elapsed_s, 3)) for each in built.ran(at_s)]


def test_a_statement_ends_when_its_session_rests() -> None:
    active = look(1.1, sessions=[[7, "active", 1.0, 1.0, None, "ALTER  TABLE\n t"]])
    idle = look(1.5, sessions=[[7, "idle", 1.0, 1.25, None, "ALTER  TABLE\n t"]])
    assert ran(active, idle, idle) == [("ALTER TABLE t", 0.25)]


def test_a_statement_ends_when_the_next_begins_or_its_session_is_gone() -> None:
    first = look(1.1, sessions=[[7, "active", 1.0, 1.0, None, "A"]])
    second = look(1.5, sessions=[[7, "active", 1.2, 1.2, None, "B"]])
    assert ran(first, second, look(1.7)) == [("A", 0.2), ("B", 0.5)]


def test_an_id_that_is_known_a_moment_later_is_the_statements() -> None:
    pauses = Pauses()
    built = Statements(pauses)
    for at_s, query_id in ((1.1, None), (1.2, 42)):
        each = look(at_s, sessions=[[7, "active", 1.0, 1.0, query_id, "UPDATE t"]])
        pauses.observe(each)
        built.observe(each)
    assert [one.query_id for one in built.ran(2.0)] == [42]


def test_of_a_statement_that_runs_often_the_longest_is_kept() -> None:
    runs = [
        look(n, sessions=[[7, "idle", n - took, n, None, "A"]])
        for n, took in [(1, 0.5), (2, 0.9), (3, 0.1)]
    ]
    assert ran(*runs) == [("A", 0.9)]


USERS, EMAILS, PART, WHOLE, MADE = 1, 2, 3, 4, 5


def relation(oid: int, name: str, kind: str = "r", **more: Any) -> Relation:
    plain = {"table_oid": None, "parents": (), "file": oid, "pages": 10, "rows": 1000.0}
    return Relation(oid, name, kind, **{**plain, "scans": 0, "rows_read": 0, **more})


KNOWN = {
    USERS: relation(USERS, "public.users"),
    EMAILS: relation(EMAILS, "public.emails", "i", table_oid=USERS),
    PART: relation(PART, "public.part", parents=(WHOLE,)),
    WHOLE: relation(WHOLE, "public.whole", "p", file=0),
    MADE: relation(MADE, "public.made"),
}


def evidence(*held: Holding, refiled: frozenset[int] = frozenset()) -> Evidence:
    return Evidence(held, KNOWN.get, lambda oid, _: oid != MADE, refiled)


def held(oid: int, mode: str, since_s: float, until_s: float) -> Holding:
    return Holding(oid, mode, since_s, until_s, "001")


def test_readers_and_writers_wait_for_what_conflicts() -> None:
    found = blocked_of(evidence(held(USERS, SHARE, 1.0, 3.0), held(USERS, AX, 1.0, 1.5)))
    assert found == (Blocked("public.users", 500.0, 2000.0),)


def test_who_holds_no_one_up_is_not_told() -> None:
    assert blocked_of(evidence(held(USERS, SUE, 1.0, 3.0), held(USERS, READER, 1.0, 3.0))) == ()


def test_an_index_stands_for_its_table_and_a_partition_for_the_whole() -> None:
    found = blocked_of(evidence(held(EMAILS, AX, 1.0, 2.0), held(PART, AX, 1.0, 1.5)))
    assert found == (
        Blocked("public.users", 1000.0, 1000.0),
        Blocked("public.part", 500.0, 500.0),
        Blocked("public.whole", 500.0, 500.0),
    )


def test_nobody_waits_for_what_only_its_maker_knows() -> None:
    made = held(MADE, AX, 1.0, 2.0)
    assert blocked_of(evidence(made)) == ()
    assert locks_of(evidence(made)) == (LockHeld(AX, "public.made", 1000.0, "001"),)


def test_a_relation_that_was_never_seen_is_not_told() -> None:
    assert locks_of(evidence(held(404, AX, 1.0, 2.0))) == ()


def test_a_new_file_betrays_a_lock_that_was_too_short_to_be_seen() -> None:
    found = locks_of(evidence(refiled=frozenset({EMAILS})))
    assert [(each.mode, each.relation) for each in found] == [
        (AX, "public.emails"),
        (SHARE, "public.users"),
    ]
    seen = evidence(held(USERS, AX, 1.0, 2.0), refiled=frozenset({USERS}))
    assert len(locks_of(seen)) == 1


def test_what_has_another_file_was_rewritten() -> None:
    after = {
        **KNOWN,
        USERS: relation(USERS, "public.users", file=77),
        EMAILS: relation(EMAILS, "public.emails", "i", table_oid=USERS, file=78),
    }
    changed = rewritten(KNOWN, after, announced=[PART, 404])
    assert changed == {USERS, EMAILS, PART}
    assert told_rewrites(KNOWN, changed, emptied=()) == ("public.part", "public.users")
    assert told_rewrites(KNOWN, changed, emptied=[USERS]) == ("public.part",)


def test_an_index_rebuilt_concurrently_is_found_by_its_name() -> None:
    after = {USERS: KNOWN[USERS], 90: relation(90, "public.emails", "i", table_oid=USERS)}
    assert told_rewrites(KNOWN, rewritten(KNOWN, after, ()), ()) == ("public.emails",)


def test_a_table_is_scanned_when_all_its_rows_were_read() -> None:
    def read(rows: int, scans: int = 1) -> Relation:
        return relation(USERS, "public.users", scans=scans, rows_read=rows)

    assert scanned(KNOWN, {USERS: read(1000)}) == ("public.users",)
    assert scanned(KNOWN, {USERS: read(5)}) == ()
    assert scanned(KNOWN, {USERS: read(1000, scans=0)}) == ()
