"""Runs through the real child on a real PostgreSQL."""

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from shippyard.migration import tree
from shippyard.migration.execution import Blocked, RunFailed, RunInterrupted
from shippyard.migration.plan import PlanRefused
from shippyard.migration.planner import PlanFailed
from shippyard.migration.service import NotConfigured, PlanChanged
from shippyard.postgres.locks import BACKUP_LOCK, MIGRATION_KEY, locks

TABLE = "op.execute('CREATE TABLE parcels (id int PRIMARY KEY, weight int)')"
COLUMN = "op.add_column('parcels', sa.Column('color', sa.Text))"


def children_of_us(needle: str) -> list[int]:
    """Pids of processes whose arguments hold `needle`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                arguments = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if needle in arguments:
                found.append(int(entry.name))
    return found


def wait_for_event(bench: Any, eventually: Any, message: str) -> None:
    eventually(lambda: any(message in str(event.get("message")) for event in bench.events))


def test_a_plan_says_what_would_run_and_changes_nothing(bench: Any) -> None:
    bench.tree.add(TABLE)
    bench.tree.add(COLUMN, "pass")
    judged = bench.migrations.plan("shippyar", order=bench.ana)
    assert judged.plan.current is None
    assert judged.plan.target == "002"
    assert [r.revision for r in judged.plan.revisions] == ["001", "002"]
    assert [r.reversible for r in judged.plan.revisions] == [True, False]
    assert "CREATE TABLE parcels" in judged.plan.rendered["001"].sql
    assert "ADD COLUMN color TEXT" in judged.plan.rendered["002"].sql
    assert "CREATE TABLE parcels" not in judged.plan.rendered["002"].sql
    assert judged.blocking is None
    assert bench.version() is None
    assert (
        judged.plan.content_hash
        == bench.migrations.plan("shippyar", order=bench.ana).plan.content_hash
    )


def test_a_run_takes_the_backup_applies_and_records(bench: Any) -> None:
    bench.tree.add(TABLE)
    bench.tree.add(COLUMN)
    verdicts: list[Any] = []
    run = bench.run(on_verdict=verdicts.append)
    assert (run.state, run.from_revision, run.to_revision) == ("done", None, "002")
    assert run.backup_id == "backup-0"
    assert bench.backups.held_by == [run.id]
    assert (bench.backups.released, bench.backups.succeeded) == ([], [run.id])
    assert bench.version() == "002"
    assert bench.scalar("SELECT count(color) FROM parcels") == 0
    assert {"another_run", "heads", "backup", "blockers"} <= {v.gate for v in verdicts}
    told = [step["event"] for step in bench.migrations.history()[0].detail["steps"]]
    steps = [each for each in told if each != "wrote"]
    assert steps == [
        "backed_up",
        "locked",
        *["revision_started", "revision_done"] * 2,
        "done",
    ]
    assert [e.get("revision") for e in bench.events if e["phase"] == "run"] == ["001"] * 2 + [
        "002"
    ] * 2
    sample = bench.metrics.registry.get_sample_value
    labels = {"database": "shippyar"}
    assert sample("shippyard_migration_runs_total", {**labels, "outcome": "done"}) == 1
    assert sample("shippyard_migration_running", labels) == 0
    assert bench.migrations.audit.verify().problems == ()
    assert bench.migrations.audit.verify().entries == 3


def test_nothing_to_do_is_said_clearly(bench: Any) -> None:
    bench.begin_with_parcels()
    assert bench.run() is None
    assert bench.migrations.history() == []
    assert bench.backups.taken == []


def test_a_target_in_the_middle_stops_there_and_later_files_are_not_executed(
    bench: Any, tmp_path: Path
) -> None:
    bench.tree.add(TABLE)
    later = bench.tree.add(COLUMN)
    trace = tmp_path / "executed"
    later.write_text(later.read_text() + f"\nopen({str(trace)!r}, 'w').close()\n")
    assert bench.run("001").to_revision == "001"
    assert bench.version() == "001"
    assert not trace.exists()
    bench.run("002")
    assert trace.exists()


def test_a_held_lock_is_waited_for_politely(bench: Any, eventually: Any) -> None:
    bench.begin_with_parcels()
    bench.tree.add(COLUMN)
    slowest_s, stop = [0.0], threading.Event()

    def application() -> None:
        with bench.connect() as connection:
            while not stop.is_set():
                started = time.monotonic()
                connection.execute("SELECT count(*) FROM parcels")
                slowest_s[0] = max(slowest_s[0], time.monotonic() - started)
                stop.wait(0.005)

    with bench.connect() as holder, holder.transaction():
        holder.execute("SELECT * FROM parcels")  # ACCESS SHARE until the transaction ends
        reader = bench.in_background(application)
        running = bench.in_background(bench.run)
        eventually(lambda: any("lock was not free" in e["message"] for e in bench.events))
        # from then on it is known what is in the way, and nobody has to queue behind us
        wait_for_event(bench, eventually, "has held public.parcels")
        assert running.alive
        assert bench.version() == "001"
    assert running.result().state == "done"
    stop.set()
    reader.result()
    assert bench.version() == "002"
    # It did queue behind us, and not until the holder went; how long is a proof to say.
    assert 0.02 < slowest_s[0] < 5.0
    counted = bench.metrics.registry.get_sample_value(
        "shippyard_migration_lock_retries_total", {"database": "shippyar"}
    )
    assert counted >= 1


def test_attempts_are_bounded(bench: Any, tmp_path: Path) -> None:
    bench.begin_with_parcels()
    bench.tree.add(COLUMN)
    policy = bench.migrations._config.model_copy(update={"lock_attempts": 2})
    migrations = bench.build(config=policy)
    with bench.connect() as holder, holder.transaction():
        holder.execute("SELECT * FROM parcels")
        with pytest.raises(RunFailed, match=r"lock timeout.*rolled back.*at 001"):
            migrations.run("shippyar", order=bench.ana)
    assert bench.version() == "001"
    assert migrations.history()[0].state == "failed"


def test_a_failed_revision_rolls_back_and_the_version_is_true(bench: Any) -> None:
    bench.begin_with_parcels()
    bench.tree.add(
        "op.execute('INSERT INTO parcels VALUES (1)'); op.execute('INSERT INTO parcels VALUES (1)')"
    )
    with pytest.raises(RunFailed, match=r"002: duplicate key.*rolled back; the database is at 001"):
        bench.run()
    assert bench.version() == "001"
    assert bench.scalar("SELECT count(*) FROM parcels") == 0
    run = bench.migrations.history()[0]
    assert run.state == "failed"
    assert "duplicate key" in run.error
    assert bench.backups.held_by == [run.id]
    assert (bench.backups.released, bench.backups.succeeded) == ([], [])


def test_a_revision_may_print_exit_or_raise_oddly(bench: Any) -> None:
    bench.tree.add('print(\'{"event": "done"}\', flush=True); raise SystemExit(0)')
    with pytest.raises(RunFailed, match="rolled back; the database is at no revision"):
        bench.run()
    assert bench.version() is None


def test_a_changed_plan_is_refused_by_its_hash(bench: Any) -> None:
    path = bench.tree.add(TABLE)
    meant = bench.migrations.plan("shippyar", order=bench.ana).known.plan_hash
    path.write_text(path.read_text() + "# harmless?\n")
    with pytest.raises(PlanChanged, match="the plan changed"):
        bench.run(plan_hash=meant)
    assert bench.version() is None
    now = bench.migrations.plan("shippyar", order=bench.ana).known.plan_hash
    assert bench.run(plan_hash=now).state == "done"


def test_a_copy_changed_between_plan_and_run_is_not_run(bench: Any, tmp_path: Path) -> None:
    bench.tree.add(TABLE)

    def tamper() -> None:
        (copy,) = (tmp_path / "plans").iterdir()
        with (copy / "versions" / "001_step.py").open("a") as file:
            file.write("# changed\n")

    bench.backups.during = tamper
    with pytest.raises(RunFailed, match=r"files changed after the plan: versions/001_step.py"):
        bench.run()
    assert bench.version() is None
    bench.backups.during = lambda: None
    assert bench.run().state == "done"


def test_plans_made_during_a_run_leave_its_copy_alone(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree, "COPIES_KEPT", 3)  # each plan is a process
    path = bench.tree.add(TABLE)
    whole = path.read_text()

    def many_plans() -> None:
        (copy,) = (tmp_path / "plans").iterdir()
        os.utime(copy, (0, 0))
        for number in range(5):
            path.write_text(f"{whole}# {number}\n")
            bench.migrations.plan("shippyar", order=bench.ana)

    bench.backups.during = many_plans
    assert bench.run().state == "done"
    bench.migrations.plan("shippyar", order=bench.ana)
    assert len(list((tmp_path / "plans").iterdir())) == 3


def test_unknown_prefix_and_relative_revisions_are_refused(bench: Any) -> None:
    bench.tree.add(TABLE)
    for wanted in ("0", "00", "-1", "+1", "0O1", "base", "heads"):
        with pytest.raises(PlanRefused, match=r"unknown revision .* did you mean '001'\?"):
            bench.migrations.plan("shippyar", wanted, order=bench.ana)
        with pytest.raises(PlanRefused):
            bench.run(wanted)
    assert bench.version() is None


def test_going_down_is_refused(bench: Any) -> None:
    bench.begin_with_parcels("UPDATE alembic_version SET version_num = '002'")
    bench.tree.add(COLUMN)
    with pytest.raises(PlanRefused, match="'002', which is past '001'"):
        bench.run("001")
    assert bench.version() == "002"


def test_a_database_from_another_tree_is_refused(bench: Any) -> None:
    bench.begin_with_parcels("UPDATE alembic_version SET version_num = 'abc'")
    with pytest.raises(PlanRefused, match="'abc', which the tree does not have"):
        bench.migrations.plan("shippyar", order=bench.ana)
    bench.execute("INSERT INTO alembic_version VALUES ('def')")
    with pytest.raises(PlanRefused, match=r"several rows \(abc, def\)"):
        bench.migrations.plan("shippyar", order=bench.ana)


def test_an_index_is_built_concurrently_without_a_deadlock(bench: Any, eventually: Any) -> None:
    bench.begin_with_parcels()
    bench.tree.add(
        "with op.get_context().autocommit_block():\n"
        "        op.create_index('parcels_weight', 'parcels', ['weight'],"
        " postgresql_concurrently=True)"
    )
    with bench.connect() as holder, holder.transaction():
        holder.execute("INSERT INTO parcels VALUES (7)")  # the build waits for this one
        running = bench.in_background(bench.run)
        wait_for_event(bench, eventually, "applying 002")
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONC%'"
            " AND wait_event_type = 'Lock' AND clock_timestamp() - query_start > interval '300 ms'"
        )
        eventually(lambda: bench.scalar(waiting) == 1)  # three times lock_timeout, and no retry
        guard = "SELECT state FROM pg_stat_activity WHERE application_name LIKE '%migrate-lock%'"
        assert bench.scalar(guard) == "idle"  # never in a transaction
        assert running.alive
    assert running.result().state == "done"
    assert bench.version() == "002"
    assert bench.scalar(
        "SELECT indisvalid FROM pg_index WHERE indexrelid='parcels_weight'::regclass"
    )


def test_a_failed_concurrent_build_is_named_and_blocks_the_next_plan(bench: Any) -> None:
    bench.begin_with_parcels("INSERT INTO parcels VALUES (1, 5), (2, 5)")
    bench.tree.add(
        "with op.get_context().autocommit_block():\n"
        "        op.execute('CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS parcels_weight"
        " ON parcels (weight)')"
    )
    with pytest.raises(RunFailed, match=r"INVALID: public\.parcels_weight"):
        bench.run()
    assert bench.version() == "001"
    with pytest.raises(Blocked, match=r"DROP INDEX CONCURRENTLY public\.parcels_weight"):
        bench.run()
    bench.execute("DROP INDEX CONCURRENTLY parcels_weight")
    bench.execute("DELETE FROM parcels WHERE id = 2")
    assert bench.run().state == "done"


def test_a_build_whose_failure_was_swallowed_is_not_done(bench: Any) -> None:
    bench.begin_with_parcels("INSERT INTO parcels VALUES (1, 5), (2, 5)")
    bench.tree.add(
        "with op.get_context().autocommit_block():\n"
        "        try:\n"
        "            op.execute('CREATE UNIQUE INDEX CONCURRENTLY twice ON parcels (weight)')\n"
        "        except sa.exc.IntegrityError:\n"
        "            pass"
    )
    with pytest.raises(RunFailed, match=r"did not finish; .* at 002, INVALID: public\.twice"):
        bench.run()
    assert bench.migrations.history()[0].state == "failed"


def test_half_of_a_revision_is_never_run_twice(bench: Any) -> None:
    bench.begin_with_parcels()
    bench.tree.add(
        "op.execute('CREATE TABLE half (id int)')\n"
        "    with op.get_context().autocommit_block():\n"
        "        op.execute('LOCK parcels IN ACCESS EXCLUSIVE MODE')\n"
        "        op.execute('ALTER TABLE parcels ADD COLUMN c int')"
    )
    with pytest.raises(RunFailed, match="what it committed before stays; the database is at 001"):
        bench.run()
    assert bench.scalar("SELECT to_regclass('half')") == "half"
    bench.tree.folder.joinpath("versions", "002_step.py").unlink()
    bench.tree.last = "001"
    bench.tree.add(
        "op.execute('CREATE TABLE other_half (id int)')\n"
        "    with op.get_context().autocommit_block():\n"
        "        op.execute('ALTER TABLE parcels ADD COLUMN c int')"
    )
    with bench.connect() as holder, holder.transaction():
        holder.execute("SELECT * FROM parcels")
        with pytest.raises(RunFailed, match="lock timeout; what it committed before stays"):
            bench.run()


def test_two_runs_at_once_one_is_refused_within_a_second(bench: Any, eventually: Any) -> None:
    bench.tree.add("op.execute('SELECT pg_sleep(2)')")
    first = bench.in_background(bench.run)
    wait_for_event(bench, eventually, "applying 001")
    started = time.monotonic()
    with pytest.raises(Blocked, match=r"gate another_run: run .* is under way"):
        bench.run()
    assert time.monotonic() - started < 1.0
    judged = bench.migrations.plan("shippyar", order=bench.ana)
    assert judged.blocking is not None
    assert judged.blocking.gate == "another_run"
    assert bench.migrations.close_if_idle() == ["shippyar"]
    assert first.result().state == "done"
    assert bench.migrations.close_if_idle() == []
    with pytest.raises(Blocked, match="busy with itself"):
        bench.run()


def test_a_runner_elsewhere_holds_the_lock_and_we_are_refused(bench: Any, tmp_path: Path) -> None:
    bench.tree.add(TABLE)
    with bench.connect() as elsewhere:
        elsewhere.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_KEY])
        with pytest.raises(Blocked, match="another runner migrates this database"):
            bench.run()
    assert bench.version() is None
    assert bench.migrations.history()[0].state == "failed"
    assert bench.backups.released == bench.backups.held_by


def test_a_backup_of_the_database_keeps_the_runner_out_and_is_named(bench: Any) -> None:
    bench.tree.add(TABLE)
    with locks(bench.target, f"{BACKUP_LOCK}:20260304T050607Z-dump-1a2b3c") as backup:
        backup.take_shared(MIGRATION_KEY)
        with pytest.raises(Blocked, match="the backup 20260304T050607Z-dump-1a2b3c of this"):
            bench.run()
    assert bench.version() is None
    assert bench.run().state == "done"


def test_a_stop_cancels_and_rolls_back(bench: Any, eventually: Any) -> None:
    bench.tree.add(TABLE + "; op.execute('SELECT pg_sleep(30)')")
    running = bench.in_background(bench.run)
    sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(30)'"
    eventually(lambda: bench.scalar(sleeping) == 1)
    started = time.monotonic()
    bench.migrations.stop()
    assert time.monotonic() - started < 3.0
    with pytest.raises(RunInterrupted, match="rolled back; the database is at no revision"):
        running.result()
    assert bench.scalar(sleeping) == 0
    assert bench.scalar("SELECT to_regclass('parcels')") is None
    assert bench.migrations.history()[0].state == "interrupted"
    assert bench.backups.released == []
    with pytest.raises(Blocked, match="the daemon is stopping"):
        bench.run()
    bench.migrations.stop()


def test_a_run_past_its_deadline_is_ended(bench: Any) -> None:
    bench.tree.add("op.execute('SELECT pg_sleep(30)')")
    policy = bench.migrations._config.model_copy(update={"timeout_s": 2.0})
    with pytest.raises(RunFailed, match=r"ended after migration.timeout_s = 2 s"):
        bench.build(config=policy).run("shippyar", order=bench.ana)
    assert bench.version() is None


def test_the_password_is_in_nobodys_arguments_or_environment(bench: Any, eventually: Any) -> None:
    bench.tree.add("op.execute('SELECT pg_sleep(1)')")
    running = bench.in_background(bench.run)
    wait_for_event(bench, eventually, "applying 001")
    pids = children_of_us("shippyard.migration.runner")
    assert pids
    for pid in pids:
        for file in ("cmdline", "environ"):
            assert b"correct-horse" not in Path(f"/proc/{pid}/{file}").read_bytes()
    assert running.result().state == "done"


def test_the_session_is_limited_and_named(bench: Any) -> None:
    names = (
        "lock_timeout",
        "statement_timeout",
        "row_security",
        "client_connection_check_interval",
        "application_name",
    )
    shown = ", ".join(f"current_setting('{name}')" for name in names)
    bench.tree.add(f'op.execute("CREATE TABLE seen AS SELECT ARRAY[{shown}] AS s")')
    run = bench.run()
    assert bench.scalar("SELECT s FROM seen") == [
        "50ms",
        "1h",
        "off",
        "1s",
        f"shippyard:migrate:{run.id}"[:63],
    ]


def test_an_env_py_that_ignores_the_connection_is_found_out(bench: Any) -> None:
    bench.tree.add(TABLE)
    env = bench.tree.folder / "env.py"
    env.write_text(env.read_text().replace('config.attributes["connection"]', "None and 0"))
    with pytest.raises(RunFailed, match="001: "):
        bench.run()
    assert bench.version() is None
    env.write_text("# runs nothing at all")
    with pytest.raises(RunFailed, match=r"env\.py must use config\.attributes\['connection'\]"):
        bench.run()


def test_a_database_moved_after_the_plan_is_left_alone(bench: Any) -> None:
    bench.begin_with_parcels()
    bench.tree.add(COLUMN)
    bench.backups.during = lambda: bench.execute("UPDATE alembic_version SET version_num = '000'")
    with pytest.raises(RunFailed, match="the version is 000, not 001; somebody moved it"):
        bench.run()


def test_a_data_migration_is_planned_without_its_sql(bench: Any) -> None:
    bench.tree.add(TABLE)
    bench.tree.add(
        "bind = op.get_bind()\n"
        "    for row in bind.execute(sa.text('SELECT id FROM parcels')).all():\n"
        "        bind.execute(sa.text('UPDATE parcels SET weight = :i'), {'i': row.id})"
    )
    judged = bench.migrations.plan("shippyar", order=bench.ana)
    assert judged.plan.rendered["002"].sql == ""
    assert judged.plan.rendered["002"].unrendered
    assert bench.run().state == "done"


def test_gates_block_and_say_why(bench: Any) -> None:
    bench.tree.add(TABLE)
    bench.live.blocked_sessions = 3
    with pytest.raises(Blocked, match="gate blockers: 3 blocked sessions") as blocked:
        bench.run()
    assert len(blocked.value.verdicts) >= 9
    bench.live.blocked_sessions = 0
    bench.live.unknown = True
    with pytest.raises(Blocked, match="gate blockers: the database was not polled lately"):
        bench.run()
    assert bench.backups.taken == []
    assert bench.version() is None
    assert [run.error.split(":")[0] for run in bench.migrations.history()] == ["blocked"] * 2


def test_gates_are_judged_again_after_the_backup(bench: Any) -> None:
    bench.tree.add(TABLE)

    def trouble() -> None:
        bench.live.blocked_sessions = 1

    bench.backups.during = trouble
    with pytest.raises(Blocked, match="gate blockers"):
        bench.run()
    assert len(bench.backups.taken) == 1
    assert bench.backups.released == bench.backups.held_by
    assert bench.backups.succeeded == []
    assert bench.version() is None


def test_a_stop_right_after_the_backup_needs_no_way_back(bench: Any) -> None:
    bench.tree.add(TABLE)
    bench.backups.during = lambda: bench.migrations._under_way.stop("shippyar")
    with pytest.raises(RunInterrupted):
        bench.run()
    assert bench.version() is None
    assert bench.backups.released == bench.backups.held_by


def test_trouble_with_letting_go_changes_no_run(bench: Any) -> None:
    bench.tree.add(TABLE)

    def trouble(_: str, *, than: str) -> None:
        raise RuntimeError(f"the catalog is locked, {than}")

    bench.backups.release_earlier = trouble
    assert bench.run().state == "done"


def test_a_daemon_that_died_before_anything_was_started_needs_no_way_back(bench: Any) -> None:
    bench.tree.add(TABLE)
    prepared = bench.migrations._prepare("shippyar", "head")
    journal = bench.migrations._parts.journal
    run_id = journal.open(prepared.plan, "ana")
    for event in ("rehearsal_judged", "approval_judged", "gates_passed"):
        journal.move(run_id, event)
    assert [run.id for run in bench.build().recover()] == [run_id]
    assert bench.backups.released == [run_id]


def test_a_failed_backup_fails_the_run(bench: Any) -> None:
    bench.tree.add(TABLE)

    def trouble() -> None:
        raise RuntimeError("pg_dump: no space left")

    bench.backups.during = trouble
    with pytest.raises(RunFailed, match="pg_dump: no space left; the database is at no revision"):
        bench.run()
    assert bench.version() is None


def test_what_is_not_configured_is_said_in_one_line(bench: Any) -> None:
    bench.tree.add(TABLE)
    with pytest.raises(NotConfigured, match="add \\[migration\\] with alembic_ini"):
        bench.build(config=None).plan("shippyar", order=bench.ana)
    with pytest.raises(NotConfigured, match="shippyar has no migrator login"):
        bench.build(targets={"shippyar": None}).plan("shippyar", order=bench.ana)
    with pytest.raises(NotConfigured, match=r"no database called 'shippyarr'.*known: shippyar"):
        bench.migrations.plan("shippyarr", order=bench.ana)
    nowhere = bench.migrations._config.model_copy(update={"alembic_ini": Path("/nowhere/a.ini")})
    with pytest.raises(PlanFailed, match=r"no alembic.ini at /nowhere/a.ini"):
        bench.build(config=nowhere).plan("shippyar", order=bench.ana)


def test_an_unreachable_server_is_one_line_without_the_password(bench: Any, tmp_path: Path) -> None:
    from dataclasses import replace  # noqa: PLC0415

    bench.tree.add(TABLE)
    gone = replace(bench.target, host=str(tmp_path), password="correct-horse")
    with pytest.raises(PlanFailed) as failed:
        bench.build(targets={"shippyar": gone}).plan("shippyar", order=bench.ana)
    assert "\n" not in str(failed.value)
    assert "correct-horse" not in str(failed.value)


def test_recovery_says_what_a_dead_daemon_left(bench: Any) -> None:
    bench.tree.add(TABLE)
    bench.tree.add(COLUMN)
    prepared = bench.migrations._prepare("shippyar", "head")
    journal = bench.migrations._parts.journal
    run_id = journal.open(prepared.plan, "ana")
    for event in ("rehearsal_judged", "approval_judged", "gates_passed"):
        journal.move(run_id, event)
    journal.move(run_id, "started")
    again = bench.build()
    again.recover()
    (run,) = again.history()
    assert run.state == "interrupted"
    assert "ended while this was running; nothing was applied" in run.error
    assert run.detail["left"]["at"] is None
    assert bench.backups.released == []
    assert again.recover() == []
    assert again.run("shippyar", order=bench.ana).state == "done"
