"""Which copies are due and which may go: retention's rules on copies."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shippyard.backup.keepable import Clockwork
from shippyard.backup.model import Backup, BackupState, Kind
from shippyard.backup.offsite.copies import CopyRecord, CopyState
from shippyard.backup.offsite.keeping import Rules, due, judge
from shippyard.config.models import Keep

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
KEEP = Keep(days=3, daily=0, weekly=0, monthly=0, at_least=1)
RULES = Rules(KEEP, NOW, Clockwork(), None)


def backup(age_days: float, state: BackupState = "published", kind: Kind = "dump") -> Backup:
    at = NOW - timedelta(days=age_days)
    return Backup(f"{at:%Y%m%dT%H%M%SZ}-{kind}-000000", "shop", kind, state, "schedule", at, at)


def record(of: Backup, state: CopyState = "verified") -> CopyRecord:
    return CopyRecord(of.id, "s3://x", state, of.database, of.kind, of.started_at)


def test_the_newest_is_copied_first() -> None:
    backups = [backup(1), backup(0), backup(2)]
    assert due(backups, [], RULES) == [backups[1], backups[0], backups[2]]


@pytest.mark.parametrize(
    ("state", "is_due"),
    [
        ("uploading", True),
        ("failed", True),
        ("verified", False),
        ("expired", False),
        ("deleted", False),
    ],
)
def test_what_has_no_copy_is_due(state: CopyState, *, is_due: bool) -> None:
    one = backup(0)
    assert bool(due([one], [record(one, state)], RULES)) == is_due


@pytest.mark.parametrize("state", ["failed", "missing", "damaged", "expired", "running"])
def test_what_does_not_count_is_not_copied(state: BackupState) -> None:
    assert due([backup(0, state)], [], RULES) == []


def test_what_would_go_at_once_is_not_copied() -> None:
    old, young = backup(9), backup(0)
    assert due([young, old], [], RULES) == [young]
    held = replace(old, held_by="operator: court order")
    assert due([young, held], [], RULES) == [young, held]


def test_a_parent_goes_ahead_of_its_children() -> None:
    full = backup(2, kind="base")
    first = replace(backup(1, kind="base"), parent=full.id)
    second = replace(backup(0, kind="base"), parent=first.id)
    assert due([second, first, full], [], RULES) == [full, first, second]
    assert due([second, first, full], [record(full)], RULES) == [first, second]


def test_copies_are_kept_by_their_own_policy() -> None:
    backups = [backup(days) for days in (0, 2, 5, 9)]
    decisions = judge(map(record, backups), {b.id: b for b in backups}, RULES)
    assert [d.keep for d in decisions] == [True, True, False, False]
    held = {backups[3].id: replace(backups[3], held_by="run-1")}
    assert [d.keep for d in judge(map(record, backups), held, RULES)] == [True, True, False, True]


def test_nothing_goes_while_the_newest_copy_failed() -> None:
    backups = [backup(days) for days in (0, 2, 5, 9)]
    records = [record(backups[0], "failed"), *map(record, backups[1:])]
    assert all(d.keep for d in judge(records, {}, RULES))


def test_nothing_goes_while_the_catalogue_is_doubted() -> None:
    rules = replace(RULES, frozen="the state was lost")
    decisions = judge([record(backup(0)), record(backup(9))], {}, rules)
    assert "the state was lost" in next(d.why for d in decisions if d.id == backup(9).id)
