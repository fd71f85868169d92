"""Which backup is drilled by chance, what is held until when, and what is kept of a drill."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from shippyard.backup.drill.model import Drill, Findings, Look, choose_older, new_drill_id, past_of
from shippyard.backup.drill.store import DrillStore
from shippyard.backup.drill.watch import held_until
from shippyard.backup.model import Backup, BackupState, Kind
from shippyard.state.database import State

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def backup(
    days_ago: int, kind: Kind = "dump", state: BackupState = "published", *, away: bool = False
) -> Backup:
    at = NOW - timedelta(days=days_ago)
    made = Backup(f"b{days_ago:02}{kind}", "shop", kind, state, "schedule", at)
    return replace(made, replicated_at=at) if away else made


def test_an_older_one_is_chosen_by_the_drills_id_alone() -> None:
    backups = [backup(days) for days in range(10)]
    chosen = {choose_older(backups, f"drill-{number}") for number in range(200)}
    assert chosen == set(backups[1:]), "each but the newest is chosen some time"
    again = choose_older(list(reversed(backups)), "drill-7")
    assert choose_older(backups, "drill-7") == again
    assert choose_older(backups[:1], "drill-7") is None


def test_what_is_held_with_dumps_alone() -> None:
    dumps = [backup(1), backup(3, away=True), backup(0, state="failed")]
    held = held_until(dumps, [], None, None)
    assert held.cluster == NOW - timedelta(days=1)
    assert held.machine == NOW - timedelta(days=3)


def test_wal_counts_only_behind_a_base_backup() -> None:
    minute = NOW - timedelta(minutes=1)
    assert held_until([backup(1)], [], minute, minute).cluster == NOW - timedelta(days=1)
    here = held_until([], [backup(5, "base")], minute, minute)
    assert (here.cluster, here.machine) == (minute, None)
    away = held_until([], [backup(5, "base", away=True)], minute, minute)
    assert away.machine == minute
    assert held_until([], [], None, None).cluster is None


def test_a_report_says_all_that_was_found() -> None:
    findings = Findings({"prepare": 1.0, "restore": 2.0, "check": 4.0})
    findings.looks += [Look("content", ("t: 1 rows, had 2",)), Look("roles")]
    findings.size_bytes = 7
    assert findings.rto_s == 3.0
    assert findings.problems == ["t: 1 rows, had 2"]
    report = findings.report()
    assert report["phases"]["check"] == 4.0
    drill = Drill("d", "b", "shop", "dump", "manual", NOW, "passed", report=report)
    assert past_of(drill).phases["restore"] == 2.0
    assert past_of(drill).size_bytes == 7


def a_drill(number: int) -> Drill:
    at = NOW + timedelta(minutes=number)
    return Drill(new_drill_id(at), "b", "shop", "dump", "manual", at, "running")


def test_drills_are_remembered_and_the_oldest_forgotten(state: State) -> None:
    store = DrillStore(state)
    drills = [a_drill(number) for number in range(5)]
    for drill in drills:
        store.begin(drill)
        store.finish(replace(drill, outcome="passed", rto_s=1.5, report={"a": [1]}), keep=3)
    assert [each.id for each in store.all(limit=10)] == [d.id for d in reversed(drills[2:])]
    newest = store.get(drills[-1].id)
    assert newest is not None
    assert (newest.rto_s, newest.report, newest.is_told) == (1.5, {"a": [1]}, True)
    assert store.ended("shop", "dump", "failed", limit=1) == []


def test_what_a_dead_daemon_left_is_interrupted_and_stays_so(state: State) -> None:
    store, drill = DrillStore(state), a_drill(1)
    store.begin(drill)
    assert store.interrupt_running(NOW) == [drill.id]
    store.finish(replace(drill, outcome="passed"), keep=9)
    found = store.get(drill.id)
    assert found is not None
    assert found.outcome == "interrupted"
    assert not found.is_told
