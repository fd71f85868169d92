"""What the daemon finds wrong with itself: each by itself, and nothing where nobody can see."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shippyard import selfwatch
from shippyard.health.model import Lack, Observation
from shippyard.health.status import CheckStatus, PollerStatus
from shippyard.selfwatch import SelfWatch, Sources, looks

UP = PollerStatus(
    "shop", "main", up=True, error=None, server_version="15.1", checks=(), findings={}
)


def sources(**changes: Any) -> Sources:
    well = Sources(
        databases=(),
        statuses=lambda: [UP],
        missed_jobs=dict,
        stuck=list,
        is_state_unwritable=lambda: False,
        free_bytes=lambda _: None,
        folders={},
    )
    return replace(well, **changes)


def seen(given: Sources) -> dict[str, Observation]:
    """By rule; a look that fails says nothing."""
    told: list[Observation] = []
    watch = SelfWatch(given, told.append, lambda *_: lambda: None, lambda _: None)
    for look in looks(given):
        watch._take(look)
    return {each.rule: each for each in told}


def check(name: str, **changes: Any) -> CheckStatus:
    bad = CheckStatus(name, ok=False, age_s=None, duration_s=None, error="timeout")
    return replace(bad, **changes)


def test_all_is_well() -> None:
    assert [each.finding for each in seen(sources()).values()] == [None] * 4


def test_each_failing_check_is_told_and_what_it_lacks_is_not() -> None:
    lacking = check("statements_top", lack=Lack("extension", "CREATE EXTENSION x"))
    status = replace(UP, checks=(check("wal"), lacking, check("server", ok=True)))
    found = seen(sources(statuses=lambda: [status]))["check_failing"]
    assert set(found.parts) == {"wal"}
    assert (found.cluster, found.database, found.severity) == ("main", "shop", "ticket")


def test_of_a_database_that_is_down_nothing_is_said() -> None:
    down = replace(UP, up=False, checks=(check("wal"),))
    assert "check_failing" not in seen(sources(statuses=lambda: [down]))


def test_a_job_that_did_not_begin_is_told() -> None:
    found = seen(sources(missed_jobs=lambda: {"backup.dump": 1800.0}))["job_missed"]
    assert "was due 1800 s ago" in found.parts["backup.dump"].summary


def test_a_loop_that_hangs_and_a_state_that_is_full_wake_people() -> None:
    given = sources(stuck=lambda: ["poller:shop"], is_state_unwritable=lambda: True)
    found = seen(given)["daemon_degraded"]
    assert (found.severity, set(found.parts)) == ("page", {"poller:shop", "state"})


@pytest.mark.parametrize(("ratio", "severity"), [(0.04, "page"), (0.09, "ticket")])
def test_a_disk_that_fills_up_is_told_by_how_full_it_is(
    ratio: float, severity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selfwatch, "_room", lambda _: (ratio, 7))
    found = seen(sources(folders={"state": Path("/x")}))["disk_low"]
    assert (found.severity, set(found.parts)) == (severity, {"state"})


def test_what_can_not_be_seen_ends_nothing_and_takes_nothing_with_it() -> None:
    def unreadable() -> Mapping[str, float]:
        raise OSError("state can't be read")

    gone = {"backups": Path("/nowhere/at/all")}
    found = seen(sources(missed_jobs=unreadable, folders=gone, is_state_unwritable=lambda: True))
    assert "job_missed" not in found
    assert "disk_low" not in found
    assert found["daemon_degraded"].finding
