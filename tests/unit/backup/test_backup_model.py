"""The table of states: every cell, and what the states mean."""

from datetime import UTC, datetime

import pytest

from shippyard.backup.model import (
    COUNTED,
    TRANSITIONS,
    UNFINISHED,
    Backup,
    BackupState,
    IllegalTransition,
    advance,
    kind_in,
    kinds_of,
    moved,
    new_id,
    published_facts,
    settled,
    subject_of_cluster,
)

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)

LEGAL = {
    ("planned", "locked"),
    ("locked", "preflight"),
    ("preflight", "running"),
    ("running", "exited"),
    ("exited", "fsynced"),
    ("fsynced", "verified"),
    ("verified", "manifested"),
    ("manifested", "published"),
    ("planned", "failed"),
    ("locked", "failed"),
    ("preflight", "failed"),
    ("running", "failed"),
    ("exited", "failed"),
    ("fsynced", "failed"),
    ("verified", "failed"),
    ("manifested", "failed"),
    ("published", "replicated"),
    ("published", "drilled"),
    ("replicated", "drilled"),
    ("published", "expired"),
    ("replicated", "expired"),
    ("drilled", "expired"),
    ("published", "missing"),
    ("replicated", "missing"),
    ("drilled", "missing"),
    ("published", "damaged"),
    ("replicated", "damaged"),
    ("drilled", "damaged"),
    # a drill that fails takes back what an earlier one proved
    ("drilled", "published"),
    ("drilled", "replicated"),
    # what is back stands where it stood
    ("missing", "published"),
    ("missing", "replicated"),
    ("missing", "drilled"),
    ("damaged", "published"),
    ("damaged", "replicated"),
    ("damaged", "drilled"),
    ("expired", "deleted"),
}


@pytest.mark.parametrize("before", TRANSITIONS)
def test_every_cell_of_the_table(before: BackupState) -> None:
    """A row at a time: 256 tests of a microsecond each take a second."""
    for after in TRANSITIONS:
        if (before, after) in LEGAL:
            assert advance(before, after) == after
        else:
            with pytest.raises(IllegalTransition, match=f"from {before} to {after}"):
                advance(before, after)


def test_only_published_and_later_counts() -> None:
    assert {"published", "replicated", "drilled"} == COUNTED
    assert not COUNTED & UNFINISHED


def test_what_counts_can_no_longer_fail_and_what_does_not_can() -> None:
    assert {state for state, onward in TRANSITIONS.items() if "failed" in onward} == UNFINISHED
    assert len(UNFINISHED) == 8


def test_moving_keeps_the_rest_and_sets_the_error() -> None:
    backup = Backup("x", "one", "dump", "running", "manual", AT)
    assert moved(backup, "failed", "no disk") == Backup(
        "x", "one", "dump", "failed", "manual", AT, error="no disk"
    )


@pytest.mark.parametrize(
    ("replicated", "drilled", "stands"),
    [
        (False, False, "published"),
        (True, False, "replicated"),
        (False, True, "drilled"),
        (True, True, "drilled"),
    ],
)
@pytest.mark.parametrize("state", ["published", "replicated", "drilled", "missing", "damaged"])
def test_what_was_done_with_a_backup_says_where_it_stands(
    state: BackupState, stands: BackupState, *, replicated: bool, drilled: bool
) -> None:
    backup = Backup(
        "x",
        "one",
        "dump",
        state,
        "manual",
        AT,
        replicated_at=AT if replicated else None,
        drilled_at=AT if drilled else None,
    )
    if (state, stands) == ("replicated", "published"):
        with pytest.raises(IllegalTransition):
            settled(backup)
    else:
        assert settled(backup).state == stands


def test_a_cluster_has_base_backups_and_a_database_dumps() -> None:
    assert kinds_of(subject_of_cluster("main")) == ("base",)
    assert kinds_of("main") == ("dump", "schema")


def test_facts_are_given_of_what_counts_only() -> None:
    running = Backup("x", "one", "dump", "running", "manual", AT, finished_at=AT, size_bytes=1)
    with pytest.raises(AssertionError, match="x is running"):
        published_facts(running)


def test_ids_sort_by_time_and_differ_within_a_second() -> None:
    same_second = {new_id("dump", AT) for _ in range(50)}
    assert len(same_second) == 50
    assert all(each.startswith("20260304T050607Z-dump-") for each in same_second)
    assert max(same_second) < new_id("dump", AT.replace(second=8))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("20260304T050607Z-dump-1a2b3c", "dump"),
        ("20260304T050607Z-schema-1a2b3c", "schema"),
        ("20260304T050607Z-base-1a2b3c", "base"),
        ("20260304T050607Z-wal-1a2b3c", None),
        ("20260304T050607Z-dump-1a2b3c.old", None),
        (".20260304T050607Z-dump-1a2b3c.partial", None),
        ("lost+found", None),
    ],
)
def test_an_id_names_its_kind(name: str, kind: str | None) -> None:
    assert kind_in(name) == kind
