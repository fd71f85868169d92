"""Gates that look at the calendar, backups, health and rehearsals stop a real run."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shippyard.config.calendar import Calendar, Freeze, Window
from shippyard.migration.execution import Blocked
from shippyard.migration.rehearsal.report import Passage, Recorded, Report
from shippyard.migration.rehearsal.store import RehearsalStore

INDEX = """
    with op.get_context().autocommit_block():
        op.execute('CREATE INDEX CONCURRENTLY parcels_weight ON parcels (weight)')"""
TODAY = datetime.now(UTC).date()
FROZEN = Calendar(
    freezes=(
        Freeze(
            **{"name": "sale", "from": TODAY - timedelta(days=1), "to": TODAY + timedelta(days=1)},
            reason="the week of the sale",
        ),
    )
)
ALWAYS = Calendar(windows=(Window(**{"name": "day", "from": "00:00", "to": "24:00"}),))


def refused(bench: Any, migrations: Any = None) -> str:
    """The gate that stops a run, which leaves the database as it was."""
    with pytest.raises(Blocked) as blocked:
        (migrations or bench.migrations).run("shippyar", order=bench.ana)
    assert bench.version() == "001"
    return str(blocked.value).split(":")[0].removeprefix("gate ")


@pytest.fixture
def indexing(bench: Any) -> Any:
    """A database with a table, and a plan that builds an index on it concurrently."""
    bench.begin_with_parcels()
    bench.tree.add(INDEX)
    return bench


def rehearsed(bench: Any, **changes: Any) -> Report:
    """What a rehearsal of the plan would have noted."""
    known = bench.migrations.plan("shippyar", order=bench.ana).known
    plan, seen = known.prepared.plan, known.prepared.seen
    now = datetime.now(UTC)
    passages = tuple(Passage(way, Recorded(growth_bytes=2**20)) for way in ("up", "down", "again"))
    report = Report(
        id="r1",
        database="shippyar",
        content_hash=plan.content_hash,
        from_revision=plan.current,
        to_revision=plan.target,
        fingerprint=seen.fingerprint,
        system_identifier=seen.system_identifier,
        backup_id="b1",
        tools="17",
        started_at=now,
        finished_at=now,
        outcome="passed",
        error=None,
        passages=passages,
        schema_differences=(),
        losses=(),
        slower=(),
        revision_elapsed_s={},
        size_bytes=1,
        differs=(),
        phases={},
    )
    return replace(report, **changes)


def test_a_freeze_stops_a_run_and_an_open_window_does_not(indexing: Any) -> None:
    assert refused(indexing, indexing.build(calendar=FROZEN)) == "windows"
    assert indexing.build(calendar=ALWAYS).run("shippyar", order=indexing.ana).state == "done"


def test_a_dump_under_way_is_waited_for(indexing: Any) -> None:
    indexing.backups.reader = "backup of somebody"
    assert refused(indexing) == "backup_running"


def test_an_old_snapshot_stops_a_concurrent_build(indexing: Any) -> None:
    indexing.live.oldest_snapshot_s = 61.0
    assert refused(indexing) == "old_snapshots"


def test_freezing_of_the_very_table_stops_it(indexing: Any) -> None:
    indexing.live.freeze_vacuums = ("public.parcels",)
    assert refused(indexing) == "wraparound"


def test_what_was_rehearsed_is_looked_at(indexing: Any) -> None:
    store = RehearsalStore(indexing.state)
    policy = indexing.migrations._config.model_copy(update={"rehearsal": True})
    asking = indexing.build(config=policy)
    assert refused(indexing, asking) == "rehearsal"
    store.add(rehearsed(indexing, id="r0", system_identifier="1"))
    assert refused(indexing, asking) == "rehearsal"
    store.add(rehearsed(indexing))
    indexing.live.disk_free_bytes = 2**21 - 1
    assert refused(indexing, asking) == "disk"
    indexing.live.disk_free_bytes = 2**21
    assert asking.run("shippyar", order=indexing.ana).state == "done"
