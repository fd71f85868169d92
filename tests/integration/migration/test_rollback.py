"""Runs taken back: only where that was rehearsed and loses nothing, and by itself after damage."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from shippyard.config.migration import Migration
from shippyard.migration.execution import Blocked, Listener, RunFailed
from shippyard.migration.plan import PlanRefused
from shippyard.migration.rehearsal.report import Passage, Recorded, Report
from shippyard.migration.rehearsal.store import RehearsalStore
from shippyard.migration.service import Migrations
from shippyard.migration.verification import Verification
from tests.integration.migration.conftest import ANA, Bench

COLOR = "op.execute('ALTER TABLE parcels ADD COLUMN color text')"
NO_COLOR = "op.execute('ALTER TABLE parcels DROP COLUMN color')"
LABELS = "op.execute('CREATE TABLE labels (id int PRIMARY KEY)')"
NO_LABELS = "op.execute('DROP TABLE labels')"
ROWS = "INSERT INTO parcels SELECT n, n FROM generate_series(1, 50) n"


def rehearsed(bench: Bench, **wrong: Any) -> Report:
    """A rehearsal of the plan to head, as the product would remember it."""
    plan = bench.migrations.plan("shippyar", order=ANA).plan
    ways = tuple(Passage(way, Recorded()) for way in ("up", "down", "again"))
    now = datetime.now(UTC)
    report = Report(
        id=f"r{now.timestamp()}",
        database="shippyar",
        content_hash=plan.content_hash,
        from_revision=plan.current,
        to_revision=plan.target,
        fingerprint="",
        system_identifier="",
        backup_id="b1",
        tools="",
        started_at=now,
        finished_at=now,
        outcome="passed",
        error=None,
        passages=ways,
        schema_differences=(),
        losses=(),
        slower=(),
        revision_elapsed_s={},
        size_bytes=1,
        differs=(),
        phases={},
    )
    report = replace(report, **wrong)
    RehearsalStore(bench.state).add(report)
    return report


def columns(bench: Bench) -> set[str]:
    found = bench.scalar(
        "SELECT array_agg(attname::text) FROM pg_attribute"
        " WHERE attrelid = 'parcels'::regclass AND attnum > 0 AND NOT attisdropped"
    )
    return set(found)


def take_back(bench: Bench, run_id: str, migrations: Migrations | None = None) -> Any:
    heard = Listener(bench.events.append)
    return (migrations or bench.migrations).take_back(run_id, order=ANA, listener=heard)


@pytest.fixture
def ran(bench: Bench) -> str:
    """Two revisions that ran as they were rehearsed."""
    bench.begin_with_parcels(ROWS)
    bench.tree.add(COLOR, NO_COLOR)
    bench.tree.add(LABELS, NO_LABELS)
    rehearsed(bench)
    return str(bench.run().id)


def test_a_run_is_taken_back_whole(bench: Bench, ran: str) -> None:
    undo = bench.migrations.undo()
    assert undo.verdict.allowed, undo.verdict.why
    assert [step.revision for step in undo.steps] == ["003", "002"]
    back = take_back(bench, ran)
    assert (back.state, back.way, back.of_run) == ("done", "down", ran)
    assert (back.from_revision, back.to_revision) == ("003", "001")
    assert bench.version() == "001"
    assert columns(bench) == {"id", "weight"}
    assert bench.scalar("SELECT count(*) FROM parcels") == 50
    assert bench.migrations.find(ran).state == "rolled_back"
    assert len(bench.backups.taken) == 1, "going back needs no backup of its own"
    said = [str(event.get("message")) for event in bench.events]
    assert any("taking 003 back" in each for each in said)
    assert not [c for c in bench.told if c.rule == "schema_drift" and c.summary]
    assert bench.drifts.look("shippyar").differences == ()
    actions = [entry.action for entry in bench.migrations.audit.entries()]
    assert actions[-3:] == ["run.requested", "run.started", "run.finished"]


def test_and_can_run_again(bench: Bench, ran: str) -> None:
    take_back(bench, ran)
    assert bench.run().state == "done"
    assert bench.version() == "003"


def test_what_was_taken_back_is_not_taken_back_twice(bench: Bench, ran: str) -> None:
    back = take_back(bench, ran)
    for run_id, why in ((ran, "it is rolled_back"), (back.id, "was a way back itself")):
        with pytest.raises((Blocked, PlanRefused), match=why):
            take_back(bench, run_id)
    assert bench.version() == "001"


def refused(bench: Bench, run_id: str, why: str) -> Mapping[str, Any]:
    """It is not taken back, and says what is next best."""
    undo = bench.migrations.undo(run_id)
    assert not undo.verdict.allowed
    with pytest.raises(Blocked, match=why) as blocked:
        take_back(bench, run_id)
    assert bench.migrations.find(run_id).state != "rolled_back"
    (verdict,) = blocked.value.verdicts
    kinds = [each["kind"] for each in verdict.evidence["next_best"]]
    assert kinds == ["fix_forward", "restore"]
    return verdict.evidence


def test_without_a_rehearsal_it_is_refused(bench: Bench) -> None:
    bench.begin_with_parcels(ROWS)
    bench.tree.add(COLOR, NO_COLOR)
    evidence = refused(bench, bench.run().id, "no rehearsal of this very content")
    assert "shippyard ctl restore run shippyar --backup" in evidence["next_best"][1]["command"]
    assert bench.version() == "002"


def test_a_rehearsal_that_lost_something_forbids_it(bench: Bench) -> None:
    bench.begin_with_parcels(ROWS)
    bench.tree.add(COLOR, NO_COLOR)
    rehearsed(bench, losses=("public.parcels.weight: 50 values did not come back",))
    refused(bench, bench.run().id, "weight: 50 values did not come back")


def test_what_was_written_since_would_be_lost(bench: Bench, ran: str) -> None:
    bench.execute("UPDATE parcels SET color = 'red' WHERE id = 7")
    refused(bench, ran, "going back would lose")
    assert bench.scalar("SELECT color FROM parcels WHERE id = 7") == "red"
    assert bench.version() == "003"


def test_what_is_written_at_the_last_moment_is_not_lost(
    bench: Bench, ran: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_before = Verification.look_before

    def written_in_between(self: Verification) -> None:
        bench.execute("INSERT INTO labels VALUES (1)")
        look_before(self)

    monkeypatch.setattr(Verification, "look_before", written_in_between)
    with pytest.raises(RunFailed, match="nothing was taken back"):
        take_back(bench, ran)
    assert bench.version() == "003"
    assert bench.scalar("SELECT count(*) FROM labels") == 1
    assert bench.migrations.find(ran).state == "done"


HARMFUL = """op.execute("DO $$ BEGIN EXECUTE 'DEL' || 'ETE FROM parcels WHERE id < 9'; END $$")"""


@pytest.mark.parametrize("by_itself", [True, False])
def test_a_run_that_did_damage_is_taken_back_where_that_is_allowed(
    bench: Bench, *, by_itself: bool
) -> None:
    bench.begin_with_parcels(ROWS)
    bench.tree.add(f"{COLOR}; {HARMFUL}", NO_COLOR)
    rehearsed(bench)
    policy = Migration(
        alembic_ini=bench.tree.ini, retry_pause_s=0.05, rollback_when_damaged=by_itself
    )
    migrations = bench.build(policy)
    with pytest.raises(RunFailed, match="not whole"):
        migrations.run("shippyar", order=ANA)
    runs = {run.way: run for run in migrations.history()}
    assert runs["up"].state == ("rolled_back" if by_itself else "failed")
    assert bench.version() == ("001" if by_itself else "002")
    assert ("down" in runs) == by_itself


def test_a_way_back_that_was_cut_off_is_gone_on_with(bench: Bench, ran: str) -> None:
    with bench.connect() as blocker:
        blocker.execute("BEGIN; SELECT * FROM parcels LIMIT 1")
        patience = Migration(
            alembic_ini=bench.tree.ini,
            lock_timeout_ms=60,
            lock_attempts=1,
            retry_pause_s=0.01,
            long_transaction_s=600,
        )
        with pytest.raises(RunFailed):
            take_back(bench, ran, bench.build(patience))
        blocker.execute("ROLLBACK")
    assert bench.version() == "002"
    cut_off = bench.migrations.history()[0]
    assert (cut_off.state, cut_off.way) == ("failed", "down")
    assert bench.migrations.rest(cut_off.id).revisions == ("002",)
    done = bench.migrations.resume(cut_off.id, order=ANA)
    assert (done.state, done.way) == ("done", "down")
    assert bench.version() == "001"
    assert bench.migrations.find(ran).state == "rolled_back"
