"""What the history in a manifest means for the backup's row."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shippyard.backup.failures import failed_condition
from shippyard.backup.history import HISTORY_MAX, as_manifested, with_event
from shippyard.backup.manifest import Event, FileEntry, Made, Manifest, Source, Verification
from shippyard.backup.model import Backup, BackupState, Kind
from shippyard.config.models import Config

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def manifest(*events: tuple[str, str]) -> Manifest:
    made = Manifest(
        id="20260304T050607Z-dump-1a2b3c",
        database="one",
        kind="dump",
        reason="pre_migration",
        held_by="run-1",
        started_at=AT,
        finished_at=AT,
        duration_s=1.5,
        source=Source("7", "15.18", "one", "0/1", None, 1),
        made=Made("x", 15, ()),
        files=(FileEntry("a", 10, "a" * 64),),
        verification=Verification("x", AT, 0.5),
    )
    for hours, (what, detail) in enumerate(events):
        at = AT + timedelta(hours=hours)
        made = with_event(made, Event(at, what, detail))  # type: ignore[arg-type]  # from the table
    return made


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], {"state": "published", "held_by": "run-1"}),
        ([("released", "run-1")], {"held_by": None}),
        ([("released", "run-1"), ("held", "operator: x")], {"held_by": "operator: x"}),
        ([("replicated", "")], {"state": "replicated", "replicated_at": AT}),
        ([("drilled", ""), ("replicated", "")], {"state": "drilled", "drilled_at": AT}),
        ([("drilled", ""), ("drill_failed", "no")], {"state": "published", "drilled_at": None}),
        (
            [("drill_failed", "no"), ("drilled", "")],
            {"state": "drilled", "drilled_at": AT + timedelta(hours=1)},
        ),
        ([("damaged", "flip")], {"state": "damaged", "error": "damaged: flip"}),
        ([("damaged", "flip"), ("verified", "")], {"state": "published", "error": None}),
        ([("damaged", "flip"), ("held", "x")], {"state": "damaged", "held_by": "x"}),
    ],
)
def test_a_row_is_told_by_the_history(
    events: list[tuple[str, str]], expected: dict[str, Any]
) -> None:
    row = as_manifested(manifest(*events))
    assert {name: getattr(row, name) for name in expected} == expected
    assert (row.id, row.size_bytes, row.reason) == (manifest().id, 10, "pre_migration")


def test_a_history_is_bounded_and_forgets_no_hold() -> None:
    made = manifest(("held", "operator: x"), *[("verified", "")] * (HISTORY_MAX + 5))
    assert len(made.history) == HISTORY_MAX
    assert {event.what for event in made.history} == {"verified"}
    assert as_manifested(made).held_by == "operator: x"


def config(*criticalities: str) -> Config:
    login = {"user": "m"}
    return Config.model_validate(
        {
            "environment": "testing",
            "daemon": {"state_dir": "/nowhere"},
            "backup": {"dir": "/nowhere", "clusters": {"main": {}}},
            "databases": [
                {
                    "name": f"d{number}",
                    "dbname": "d",
                    "criticality": criticality,
                    "monitor": login,
                    "backup": login,
                }
                for number, criticality in enumerate(criticalities)
            ],
        }
    )


def attempt(state: BackupState, kind: Kind = "dump", error: str | None = None) -> Backup:
    return Backup(f"{kind}-{state}", "d0", kind, state, "schedule", AT, error=error)


def test_failing_is_wrong_until_each_kind_succeeds() -> None:
    failed, good = attempt("failed", error="no disk"), attempt("published", "schema")
    told = failed_condition(config("normal"), "d0", [good, failed])
    assert told.summary == (
        "dump backup of d0 failed: no disk; "
        "when mended, run: shippyard ctl backup run d0 --kind dump"
    )
    assert told.evidence == {"backups": [{"id": "dump-failed", "error": "no disk"}]}
    over = failed_condition(config("normal"), "d0", [attempt("drilled"), good, failed])
    assert over.summary is None
    under_way = failed_condition(config("normal"), "d0", [attempt("running"), failed])
    assert under_way.summary is not None


def test_what_is_critical_pages() -> None:
    assert failed_condition(config("critical", "important"), "d0", []).severity == "page"
    assert failed_condition(config("critical", "important"), "d1", []).severity == "ticket"
    assert failed_condition(config("important", "critical"), "@main", []).severity == "page"
    assert failed_condition(config("important", "normal"), "@main", []).severity == "ticket"
