"""The table of backups: compare-and-set, order, adoption."""

from dataclasses import replace
from datetime import timedelta

import pytest

from shippyard.backup.catalog import Catalog, Overtaken
from shippyard.backup.model import Backup, BackupState, IllegalTransition, moved
from shippyard.state.database import State
from tests.conftest import FakeClock


@pytest.fixture
def catalog(state: State) -> Catalog:
    return Catalog(state)


def a_backup(clock: FakeClock, name: str, state: BackupState = "published") -> Backup:
    clock.advance(1)
    at = clock.now()
    return Backup(name, "one", "dump", state, "manual", at, at + timedelta(1), 2.0, 30)


def test_a_row_comes_back_as_it_went(catalog: Catalog, clock: FakeClock) -> None:
    backup = replace(a_backup(clock, "a"), held_by="run-1", error="none")
    catalog.add(backup)
    assert catalog.get("a") == backup
    assert catalog.document("a") is None
    assert catalog.get("b") is None


def test_only_one_of_two_changes_wins(catalog: Catalog, clock: FakeClock) -> None:
    before = a_backup(clock, "a", "running")
    catalog.add(before)
    catalog.move(before, moved(before, "exited"))
    with pytest.raises(Overtaken, match="a is no longer running"):
        catalog.move(before, moved(before, "failed", "late"))
    left = catalog.get("a")
    assert left is not None
    assert (left.state, left.error) == ("exited", None)


def test_a_hold_is_let_go_once_and_a_late_move_does_not_bring_it_back(
    catalog: Catalog, clock: FakeClock
) -> None:
    held = replace(a_backup(clock, "a"), held_by="run-1")
    catalog.add(held)
    catalog.add(a_backup(clock, "b"))
    assert catalog.held("one") == [held]
    assert catalog.held("two") == []
    assert not catalog.let_go(replace(held, held_by="run-0"))
    assert catalog.held("one") == [held]
    assert catalog.let_go(held)
    assert not catalog.let_go(held)
    catalog.move(held, moved(held, "missing", "read before the hold ended"))
    assert catalog.held("one") == []


def test_a_step_that_the_table_lacks_is_refused(catalog: Catalog, clock: FakeClock) -> None:
    before = a_backup(clock, "a", "running")
    catalog.add(before)
    with pytest.raises(IllegalTransition):
        catalog.move(before, replace(before, state="published"))


def test_the_newest_is_the_one_that_started_last_and_counts(
    catalog: Catalog, clock: FakeClock
) -> None:
    for name, state in (("c", "published"), ("b", "drilled"), ("a", "failed")):
        catalog.add(a_backup(clock, name, state))  # type: ignore[arg-type]  # literals of the loop
    newest = catalog.newest_published("one", "dump")
    assert newest is not None
    assert newest.id == "b"
    assert catalog.newest_published("one", "schema") is None
    assert catalog.newest_published("two", "dump") is None
    assert [b.id for b in catalog.all()] == ["a", "b", "c"]
    assert catalog.all("two") == []
