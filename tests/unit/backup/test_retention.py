"""Retention: its rules one by one, then thousands of random histories."""

import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from shippyard.backup.model import COUNTED, KINDS, SPOILT, Backup, BackupState, Kind
from shippyard.backup.retention import Decision, select_expired
from shippyard.config.models import Keep

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
STRICT = Keep(days=1, daily=0, weekly=0, monthly=0, at_least=1)


def a_backup(age_days: float, state: BackupState = "published", kind: Kind = "dump") -> Backup:
    started = NOW - timedelta(days=age_days)
    name = f"{started:%Y%m%dT%H%M%S%f}-{kind}"
    return Backup(name, "one", kind, state, "schedule", started, started, 1.0, 10)


def gone(backups: list[Backup], policy: Keep, now: datetime = NOW) -> set[str]:
    return {d.id for d in select_expired(backups, policy, now) if not d.keep}


def why(backups: list[Backup], policy: Keep, backup: Backup) -> str:
    return next(d.why for d in select_expired(backups, policy, NOW) if d.id == backup.id)


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


def test_nothing_goes_when_the_clock_went_back() -> None:
    backups = [new := a_backup(-400), a_backup(0.5), old := a_backup(9)]
    assert gone(backups, STRICT) == set()
    assert why(backups, STRICT, old) == f"{new.id} is from the future: the clock went back"


def test_nothing_goes_when_backups_stopped() -> None:
    assert gone([a_backup(2), a_backup(9)], STRICT) == set()


def test_only_published_ones_are_decided_on() -> None:
    assert select_expired([a_backup(0, "running"), a_backup(1, "failed")], STRICT, NOW) == []
    assert select_expired([], STRICT, NOW) == []


# Random histories against rules written a second time, in another way.

HISTORIES = 1000
STATES = cast("list[BackupState]", ["published"] * 24 + ["drilled", "failed", "deleted", "damaged"])


def test_random_histories_keep_every_promise() -> None:
    chance = random.Random(20261122)
    deletions = 0
    for _ in range(HISTORIES):
        history, policy = a_history(chance), a_policy(chance)
        decisions = select_expired(history, policy, NOW)
        deletions += sum(not d.keep for d in decisions)
        check_protected(history, policy, decisions)
        check_stable(history, policy, decisions)
    assert deletions > HISTORIES  # the promises were put to the test


def a_policy(chance: random.Random) -> Keep:
    return Keep(
        days=chance.choice([1, 3, 30]),
        daily=chance.randint(0, 7),
        weekly=chance.randint(0, 5),
        monthly=chance.randint(0, 12),
        at_least=chance.randint(1, 4),
    )


def a_history(chance: random.Random) -> list[Backup]:
    return [_a_random_backup(chance, f"{n:04}") for n in range(chance.randint(0, 40))]


def _a_random_backup(chance: random.Random, name: str) -> Backup:
    state = chance.choice(STATES)
    kind: Kind = chance.choice(KINDS)
    database = chance.choice(["one", "two"])
    started = NOW - timedelta(days=_age(chance))
    held_by = "run" if chance.random() < 0.05 else None
    return Backup(name, database, kind, state, "schedule", started, held_by=held_by)


def _age(chance: random.Random) -> float:
    """Days, mostly recent; now and then from years ago or, after a clock step, from tomorrow."""
    if chance.random() < 0.01:
        return chance.uniform(-800, 0)
    return chance.uniform(0, chance.choice([3, 60, 2000]))


def check_protected(history: list[Backup], policy: Keep, decisions: list[Decision]) -> None:
    groups: dict[tuple[str, str], list[Backup]] = defaultdict(list)
    for backup in history:
        groups[backup.database, backup.kind].append(backup)
    left = {d.id for d in decisions if not d.keep}
    assert sorted(d.id for d in decisions) == sorted(b.id for b in history if b.state in COUNTED)
    for group in groups.values():
        expired = [b for b in group if b.id in left]
        assert not any(b.held_by for b in expired)
        assert all(NOW - b.started_at > timedelta(days=policy.days) for b in expired)
        counted = [b for b in group if b.state in COUNTED]
        for b in expired:
            newer = [c for c in counted if (c.started_at, c.id) > (b.started_at, b.id)]
            assert len(newer) >= policy.at_least
            # whatever period it was in, a newer one stands for it or the places are taken
            for period, places in _periods(policy):
                own = period(b.started_at)
                later = {period(c.started_at) for c in newer}
                assert own in later or len(later) >= places
        if expired:
            last = max(group, key=lambda b: (b.started_at, b.id))
            assert last.started_at <= NOW
            assert last.state not in SPOILT


def _periods(policy: Keep) -> list[tuple[Callable[[datetime], object], int]]:
    return [
        (lambda at: at.timetuple()[:3], policy.daily),
        (lambda at: at.date() - timedelta(days=at.weekday()), policy.weekly),
        (lambda at: at.year * 12 + at.month, policy.monthly),
    ]


def check_stable(history: list[Backup], policy: Keep, decisions: list[Decision]) -> None:
    """Deleting what may go makes nothing else go."""
    left = {d.id for d in decisions if not d.keep}
    remaining = [replace(b, state="deleted") if b.id in left else b for b in history]
    assert gone(remaining, policy) == set()


def test_everything_goes_that_no_rule_wants() -> None:
    """The other way round: a function that keeps all would pass every promise above."""
    backups = [a_backup(n / 2) for n in range(200)]
    policy = Keep(days=3, daily=5, weekly=0, monthly=0, at_least=2)
    assert len(backups) - len(gone(backups, policy)) == 8  # 7 within 3 days, and the fifth day
