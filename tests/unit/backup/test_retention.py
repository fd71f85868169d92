"""Retention: its rules one by one, then thousands of random histories."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from proofs.backup import retention as proof
from shippyard.backup.keepable import Clockwork
from shippyard.backup.model import Backup, BackupState, Kind
from shippyard.backup.retention import keep_for, select_expired
from shippyard.config.models import Keep, KeepByKind

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
RIGHT = Clockwork(NOW)
UNNOTED = Clockwork()
STRICT = Keep(days=1, daily=0, weekly=0, monthly=0, at_least=1)


def a_backup(age_days: float, state: BackupState = "published", kind: Kind = "dump") -> Backup:
    started = NOW - timedelta(days=age_days)
    name = f"{started:%Y%m%dT%H%M%S%f}-{kind}"
    return Backup(name, "one", kind, state, "schedule", started, started, 1.0, 10)


def gone(backups: list[Backup], policy: Keep, clock: Clockwork = RIGHT) -> set[str]:
    return {d.id for d in select_expired(backups, policy, NOW, clock=clock) if not d.keep}


def a_base(
    age_days: float, parent: Backup | None = None, state: BackupState = "published"
) -> Backup:
    return replace(a_backup(age_days, state, "base"), parent=parent.id if parent else None)


def why(backups: list[Backup], policy: Keep, backup: Backup, clock: Clockwork = RIGHT) -> str:
    decided = select_expired(backups, policy, NOW, clock=clock)
    return next(d.why for d in decided if d.id == backup.id)


def test_the_newest_stays_when_no_other_rule_wants_it() -> None:
    new, old = a_backup(0.5), a_backup(9)
    assert gone([old, new], STRICT) == {old.id}
    assert why([old, new], STRICT, new) == "the newest of its kind"


def test_each_kind_and_database_is_judged_by_itself() -> None:
    dump, schema = a_backup(0.5), a_backup(9, kind="schema")
    other = replace(a_backup(8), database="two")
    assert gone([dump, schema, other], STRICT) == set()


def test_days_keep_what_is_not_older() -> None:
    backups = [a_backup(n) for n in (0, 29, 30, 31)]
    policy = STRICT.model_copy(update={"days": 30})
    assert gone(backups, policy) == {backups[3].id}


def test_at_least_keeps_the_newest_ones_however_old() -> None:
    backups = [a_backup(n) for n in (0.5, 100, 200, 300)]
    assert gone(backups, STRICT.model_copy(update={"at_least": 3})) == {backups[3].id}


def test_daily_keeps_the_newest_of_each_of_the_last_days_that_have_any() -> None:
    backups = [a_backup(n) for n in (0, 2.0, 2.2, 9.0, 9.2, 20)]
    policy = STRICT.model_copy(update={"daily": 3})
    assert gone(backups, policy) == {backups[2].id, backups[4].id, backups[5].id}
    assert why(backups, policy, backups[3]) == "daily 3 of 3"


def test_weekly_and_monthly_have_places_of_their_own() -> None:
    backups = [a_backup(n) for n in range(120)]
    kept = [b for b in backups if b.id not in gone(backups, Keep(days=1, daily=7, weekly=5))]
    months = {(b.started_at.year, b.started_at.month) for b in kept}
    weeks = {b.started_at.isocalendar()[:2] for b in kept}
    assert len(months) == 5  # as many as the history has
    assert len(weeks) >= 5
    assert len(kept) < 20


def test_a_held_one_stays() -> None:
    held = replace(a_backup(400), held_by="run-7")
    backups = [a_backup(0.5), held, a_backup(401)]
    assert gone(backups, STRICT) == {backups[2].id}
    assert why(backups, STRICT, held) == "held by run-7"


@pytest.mark.parametrize("state", ["failed", "missing", "damaged"])
def test_nothing_goes_while_the_last_run_is_spoilt(state: BackupState) -> None:
    last = a_backup(0.1, state)
    backups = [last, a_backup(0.5), old := a_backup(9)]
    assert gone(backups, STRICT) == set()
    assert why(backups, STRICT, old) == f"the last run ({last.id}) is {state}"


def test_an_older_failure_and_a_failure_of_the_other_kind_stop_nothing() -> None:
    old = a_backup(9)
    backups = [a_backup(0.5), a_backup(1, "failed"), a_backup(0.1, "failed", "schema"), old]
    assert gone(backups, STRICT) == {old.id}


def test_a_run_that_goes_on_is_no_failure() -> None:
    backups = [a_backup(0, "running"), a_backup(0.5), old := a_backup(9)]
    assert gone(backups, STRICT) == {old.id}


def test_nothing_goes_when_the_clock_went_back_and_no_time_was_noted() -> None:
    backups = [new := a_backup(-400), a_backup(0.5), old := a_backup(9)]
    assert gone(backups, STRICT, UNNOTED) == set()
    said = why(backups, STRICT, old, UNNOTED)
    assert said == f"{new.id} is from the future: the clock went back"


def test_one_that_a_clock_ahead_dated_stays_and_takes_nobodys_place() -> None:
    ahead, new, old = a_backup(-400), a_backup(0.5), a_backup(9)
    assert gone([ahead, new, old], STRICT) == {old.id}
    assert why([ahead, new, old], STRICT, new) == "the newest of its kind"
    assert why([ahead, new], STRICT, ahead) == "a wrong clock dated it: how old it is, is not known"


def test_one_dated_while_the_clock_was_known_to_be_wrong_is_taken_for_the_newest_it_may_be() -> (
    None
):
    old_by_date = a_backup(3000)
    backups = [a_backup(0.5), a_backup(9), old_by_date]
    day = timedelta(days=1)
    clock = Clockwork(NOW, None, ((old_by_date.started_at - day, old_by_date.started_at + day),))
    assert gone(backups, STRICT) == {backups[1].id, old_by_date.id}
    assert gone(backups, STRICT, clock) == {backups[1].id}


@pytest.mark.parametrize("ahead_by", [timedelta(hours=1.1), timedelta(days=3000)])
@pytest.mark.parametrize("sign", [1, -1])
def test_nothing_goes_while_the_clock_shows_another_time_than_noted(
    ahead_by: timedelta, sign: int
) -> None:
    backups, off = [a_backup(0.5), old := a_backup(9)], Clockwork(NOW - sign * ahead_by)
    assert gone(backups, STRICT, off) == set()
    assert why(backups, STRICT, old, off).startswith("the clock jumped: it shows 2026-11-22 12:00")
    assert gone(backups, STRICT, Clockwork(NOW - sign * timedelta(minutes=59))) == {old.id}


def test_after_a_clock_was_set_right_nothing_goes_before_a_backup_is_newer() -> None:
    backups, mended = [a_backup(0.5), old := a_backup(9)], Clockwork(NOW, NOW - timedelta(hours=2))
    assert gone(backups, STRICT, mended) == set()
    assert "the clock was set right at 2026-11-22 10:00" in why(backups, STRICT, old, mended)
    assert gone([a_backup(0.01), *backups], STRICT, mended) == {old.id}


def test_nothing_goes_while_it_is_frozen_and_it_says_by_what() -> None:
    backups = [a_backup(0.5), old := a_backup(9)]
    decided = select_expired(backups, STRICT, NOW, clock=RIGHT, frozen="the state was lost")
    assert [d.keep for d in decided] == [True, True]
    assert decided[1].id == old.id
    assert decided[1].why == "nothing goes: the state was lost"


def test_the_newest_that_was_drilled_stays() -> None:
    drilled = replace(a_backup(40), drilled_at=NOW)
    backups = [a_backup(0.5), drilled, a_backup(39), replace(a_backup(41), drilled_at=NOW)]
    assert gone(backups, STRICT) == {backups[2].id, backups[3].id}
    assert why(backups, STRICT, drilled) == "the newest that a drill has restored"


def test_yearly_has_places_too() -> None:
    backups = [a_backup(n * 100 + 0.5) for n in range(12)]
    policy = STRICT.model_copy(update={"yearly": 3})
    kept = [b.started_at.year for b in backups if b.id not in gone(backups, policy)]
    assert kept == [2026, 2025, 2024]


def test_a_kind_may_have_a_policy_of_its_own() -> None:
    own = KeepByKind.model_validate({"schema": STRICT})
    assert keep_for(Keep(), own, "schema") == STRICT
    assert keep_for(Keep(), own, "dump") == Keep()
    kinds: tuple[Kind, ...] = ("dump", "schema")
    backups = [a_backup(n, kind=kind) for kind in kinds for n in (0.5, 9)]
    decided = select_expired(backups, Keep(), NOW, by_kind=own, clock=RIGHT)
    assert [d.id for d in decided if not d.keep] == [backups[3].id]


def test_parents_stay_with_their_children_all_the_way_up() -> None:
    full = a_base(30)
    one = a_base(29, full)
    two = a_base(28, one)
    new = a_base(0.5)
    held = replace(two, held_by="an operator")
    assert gone([new, held, one, full], STRICT) == set()
    assert why([new, held, one, full], STRICT, full) == f"{two.id} needs it"
    assert gone([new, two, one, full], STRICT) == {two.id, one.id, full.id}


def test_what_goes_is_in_an_order_that_leaves_nothing_without_its_parent() -> None:
    full = a_base(30)
    decided = select_expired([full, a_base(29, full), a_base(0.5)], STRICT, NOW, clock=RIGHT)
    assert [d.id[:8] for d in decided] == ["20261122", "20261024", "20261023"]


@pytest.mark.parametrize("state", ["running", "preflight", "verified"])
def test_a_parent_stays_while_a_child_is_being_made(state: BackupState) -> None:
    full = a_base(30)
    assert gone([a_base(0, full, state), a_base(0.5), full], STRICT) == set()


def test_a_parent_stays_while_a_young_childs_files_are_away() -> None:
    full = a_base(30)
    assert gone([a_base(0.1), a_base(0.5, full, "missing"), full], STRICT) == set()
    assert gone([a_base(0.1), a_base(9, full, "missing"), full], STRICT) == {full.id}


def test_a_child_without_its_parent_stands_for_nothing() -> None:
    orphan, whole, old = replace(a_base(0.5), parent="gone"), a_base(9), a_base(10)
    assert gone([orphan, whole, old], STRICT) == {old.id}


def test_two_of_one_chain_are_not_two() -> None:
    oldest, old, full = a_base(21), a_base(20), a_base(5)
    backups = [a_base(0.5, full), a_base(0.6, full), full, old, oldest]
    policy = STRICT.model_copy(update={"at_least": 2})
    assert gone(backups, policy) == {oldest.id}
    assert why(backups, policy, old) == "chain 2 of 2"


def test_parents_that_go_in_a_circle_end() -> None:
    one = a_base(20)
    two = a_base(19, one)
    assert gone([a_base(0.5), replace(one, parent=two.id), two], STRICT) == {one.id, two.id}


def test_nothing_goes_when_backups_stopped() -> None:
    assert gone([a_backup(2), a_backup(9)], STRICT) == set()


def test_only_published_ones_are_decided_on() -> None:
    assert select_expired([a_backup(0, "running"), a_backup(1, "failed")], STRICT, NOW) == []
    assert select_expired([], STRICT, NOW) == []


def test_everything_goes_that_no_rule_wants() -> None:
    """A function that keeps all would pass every promise."""
    backups = [a_backup(n / 2) for n in range(200)]
    policy = Keep(days=3, daily=5, weekly=0, monthly=0, at_least=2)
    assert len(backups) - len(gone(backups, policy)) == 8  # 7 within 3 days, and the fifth day


def test_random_histories_keep_every_promise() -> None:
    """A few of those that `make proof-backups ROWS=retention` judges by the hundred thousand."""
    judged = proof.judge(range(80))
    assert judged.problems == []
    assert judged.deleted > 80  # the promises were put to the test
