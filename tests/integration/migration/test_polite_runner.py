"""The runner among an application's sessions: it waits, it is cancelled, it keeps its settings."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest

from shippyard.host.process import Processes
from shippyard.migration.execution import Listener
from shippyard.migration.planner import Planner
from shippyard.migration.spec import Expected, Guard, RunSpec, Step
from shippyard.migration.supervise import Ending, Event, Supervisor

ADD = "op.execute('ALTER TABLE parcels ADD COLUMN color text')"
LOCKED = "op.execute('LOCK TABLE parcels IN ACCESS EXCLUSIVE MODE')"
RAW = "op.get_bind().connection.driver_connection.execute"
LOCKS = {"002": {"public.parcels": "AccessExclusiveLock"}}


class Run:
    """One runner in the background."""

    def __init__(self, supervisor: Supervisor, spec: RunSpec) -> None:
        self.events: list[Event] = []
        self._supervisor = supervisor
        self._spec = spec
        self._ending: list[Ending] = []
        self._thread = threading.Thread(target=self._go, daemon=True)
        self._thread.start()

    def _go(self) -> None:
        self._ending.append(self._supervisor.run(self._spec, 60.0, self.events.append))

    def said(self, event: str) -> list[Event]:
        return [each for each in self.events if each["event"] == event]

    def stop(self) -> None:
        self._supervisor.interrupt()

    def ending(self) -> Ending:
        self._thread.join(60.0)
        (ending,) = self._ending
        return ending


Begin = Callable[..., Run]


@pytest.fixture
def begin(bench: Any, tmp_path: Path, processes: Processes) -> Begin:
    """Begin the next revision, on a database with parcels."""
    bench.begin_with_parcels("INSERT INTO parcels SELECT n, n FROM generate_series(1, 50) AS n")

    def begin(upgrade: str, downgrade: str = "pass", **more: Any) -> Run:
        bench.tree.add(upgrade, downgrade)
        supervisor = Supervisor(processes)
        policy = bench.migrations._config
        planner = Planner(tmp_path / "copies", supervisor)
        prepared = planner.prepare("shippyar", bench.target, policy, "head")
        spec = prepared.run_spec("polite-1")
        return Run(supervisor, replace(spec, **more))

    return begin


def test_an_old_transaction_goes_first_and_nobody_queues(
    bench: Any, begin: Begin, eventually: Any
) -> None:
    with bench.connect() as holder, holder.transaction():
        holder.execute("SELECT * FROM parcels WHERE weight = 4711")
        run = begin(ADD, expected=Expected(locks=LOCKS), retry_pause_s=1.0)
        eventually(lambda: run.said("waiting"))
        assert not run.said("revision_started")
    assert run.ending().outcome == "applied"
    assert [each["attempt"] for each in run.said("revision_started")] == [1]
    (session, *_) = run.said("waiting")[0]["sessions"]
    assert session["relation"] == "public.parcels"
    assert session["query"] == "SELECT * FROM parcels WHERE weight = ?"


def test_a_lock_that_does_not_matter_is_not_waited_for(bench: Any, begin: Begin) -> None:
    with bench.connect() as holder, holder.transaction():
        holder.execute("SELECT * FROM parcels")
        locks = {"002": {"public.parcels": "ShareLock"}}
        run = begin(
            "op.execute('CREATE INDEX by_weight ON parcels (weight)')",
            expected=Expected(locks=locks),
        )
        assert run.ending().outcome == "applied"
    assert not run.said("waiting")


def test_waiting_ends_and_attempts_end(bench: Any, begin: Begin) -> None:
    with bench.connect() as holder, holder.transaction():
        holder.execute("SELECT * FROM parcels")
        run = begin(ADD, expected=Expected(locks=LOCKS), lock_attempts=2)
        ending = run.ending()
    assert (ending.outcome, ending.half_applied) == ("failed", False)
    assert len(run.said("lock_retry")) == 1


def test_a_stop_while_waiting(bench: Any, begin: Begin, eventually: Any) -> None:
    with bench.connect() as holder, holder.transaction():
        holder.execute("SELECT * FROM parcels")
        run = begin(ADD, expected=Expected(locks=LOCKS), retry_pause_s=10.0)
        eventually(lambda: run.said("waiting"))
        run.stop()
        assert run.ending().outcome == "interrupted"


def test_a_stop_is_heard_whatever_a_revision_does(
    bench: Any, begin: Begin, eventually: Any
) -> None:
    run = begin(
        "op.execute('LOCK TABLE parcels')\n"
        "    while not op.get_context().as_sql:\n"
        "        try:\n"
        "            time.sleep(60)\n"
        "        except BaseException:\n"
        "            pass"
    )
    locked = "SELECT count(*) FROM pg_locks WHERE relation = 'parcels'::regclass AND granted"
    eventually(lambda: bench.scalar(locked))
    run.stop()
    assert run.ending().outcome == "interrupted"
    eventually(lambda: not bench.scalar(locked))


@pytest.mark.parametrize(
    "meddle",
    [
        "op.execute('SET lock_timeout = 0')",
        "op.execute('SET SESSION lock_timeout TO 0; SET statement_timeout = 0')",
        "op.execute(sa.text(\"SELECT set_config('lock_timeout', '1h', false)\"))",
        f"{RAW}('SET LOCAL lock_timeout = 0')",
        "op.execute('DO $$ BEGIN SET lock_timeout = 0; SET row_security = on; END $$')",
    ],
)
@pytest.mark.parametrize("execute", ["op.execute", RAW])
def test_settings_are_set_back(bench: Any, begin: Begin, meddle: str, execute: str) -> None:
    shown = "current_setting('lock_timeout') || current_setting('row_security')"
    run = begin(f'{meddle}; {execute}("CREATE TABLE seen AS SELECT {shown} AS s")')
    assert run.ending().outcome == "applied"
    assert bench.scalar("SELECT s FROM seen") == "50msoff"
    (said,) = run.said("settings")
    assert "lock_timeout" in said["settings"]


def test_settings_that_nobody_made_laxer_are_left(bench: Any, begin: Begin) -> None:
    run = begin(
        "op.execute(\"SET lock_timeout = '20ms'\");"
        "op.execute(\"CREATE TABLE seen AS SELECT current_setting('lock_timeout') AS s\");"
        "op.execute('RESET ALL'); op.execute('CREATE TABLE more (id int)')"
    )
    assert run.ending().outcome == "applied"
    assert bench.scalar("SELECT s FROM seen") == "20ms"
    assert not run.said("settings")


def test_what_the_driver_committed_by_itself_is_known(bench: Any, begin: Begin) -> None:
    run = begin(
        "raw = op.get_bind().connection.driver_connection\n"
        "    raw.execute('CREATE TABLE half (id int)'); raw.commit()\n"
        "    raw.execute('SELECT 1 / 0')"
    )
    ending = run.ending()
    assert (ending.outcome, ending.half_applied) == ("failed", True)
    assert bench.scalar("SELECT to_regclass('half')") == "half"


class Application:
    """Reads parcels again and again, as a session that waits would."""

    def __init__(self, bench: Any, statement: str = "SELECT count(*) FROM parcels") -> None:
        self._stop = threading.Event()
        self.served = 0
        self._statement = statement
        self._thread = threading.Thread(target=self._read, args=[bench], daemon=True)
        self._thread.start()

    def _read(self, bench: Any) -> None:
        with bench.connect() as connection:
            while not self._stop.is_set():
                connection.execute(self._statement)
                self.served += 1
                time.sleep(0.01)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10.0)
        assert not self._thread.is_alive()


def test_what_makes_the_application_wait_is_cancelled(bench: Any, begin: Begin) -> None:
    with Application(bench) as application:
        run = begin(f"{LOCKED}; op.execute('SELECT pg_sleep(20)')")
        ending = run.ending()
        assert application.served
    assert ending.outcome == "failed"
    assert "the application waited for it for longer than 300 ms, in 3 attempt(s)" in ending.message
    struck = run.said("watchdog")
    assert [each["action"] for each in struck] == ["cancel"] * 3
    assert struck[0]["sessions"][0]["query"] == "SELECT count(*) FROM parcels"
    assert bench.version() == "001"


def test_what_was_measured_and_approved_may_take_its_time(bench: Any, begin: Begin) -> None:
    with Application(bench):
        run = begin(
            f"{LOCKED}; op.execute('SELECT pg_sleep(0.6)')",
            expected=Expected(may_block_ms={"002": 10_000.0}),
        )
        assert run.ending().outcome == "applied"
    assert not run.said("watchdog")


def test_a_revision_that_thinks_while_it_holds_locks_is_ended(bench: Any, begin: Begin) -> None:
    with Application(bench):
        run = begin(f"{LOCKED}; time.sleep(1.5); op.execute('SELECT 1')")
        ending = run.ending()
    assert ending.outcome == "failed"
    assert {each["action"] for each in run.said("watchdog")} == {"end"}
    assert bench.version() == "001"


def test_a_queue_behind_our_queued_lock_counts(bench: Any, begin: Begin, eventually: Any) -> None:
    with bench.connect() as holder, holder.transaction():
        holder.execute("SELECT * FROM parcels")
        with Application(bench) as application:
            eventually(lambda: application.served)
            run = begin(ADD, lock_timeout_min_ms=20_000, lock_timeout_ms=20_000)
            eventually(lambda: run.said("watchdog"))
    assert run.ending().outcome == "applied"


def test_a_build_that_stops_others_is_cancelled_and_built_anew(
    bench: Any, begin: Begin, eventually: Any
) -> None:
    with bench.connect() as holder, holder.transaction():
        holder.execute("INSERT INTO parcels VALUES (99, 99)")
        run = begin(
            "with op.get_context().autocommit_block():\n"
            "        op.execute('CREATE INDEX CONCURRENTLY by_weight ON parcels (weight)')"
        )
        eventually(lambda: bench.scalar("SELECT count(*) FROM pg_stat_progress_create_index"))
        with bench.connect() as other, other.transaction():
            other.execute("SET LOCAL lock_timeout = '20s'")
            other.execute("LOCK TABLE parcels IN SHARE UPDATE EXCLUSIVE MODE")
        eventually(lambda: run.said("watchdog"))
    assert run.ending().outcome == "applied"
    assert len(run.said("swept")) == 1
    question = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'by_weight'::regclass"
    assert bench.scalar(question)


def test_a_build_says_for_whom_it_waits(bench: Any, begin: Begin, eventually: Any) -> None:
    with bench.connect() as holder, holder.transaction():
        holder.execute("INSERT INTO parcels VALUES (99, 99)")
        run = begin(
            "with op.get_context().autocommit_block():\n"
            "        op.execute('CREATE INDEX CONCURRENTLY by_weight ON parcels (weight)')"
        )
        eventually(lambda: run.said("waiting"))
        assert any("index" in str(each["message"]) for each in run.said("progress"))
    assert run.ending().outcome == "applied"


def test_a_way_back_asks_again_before_it_goes(bench: Any, begin: Begin) -> None:
    bench.execute("ALTER TABLE parcels ADD COLUMN color text")
    bench.execute("UPDATE alembic_version SET version_num = '002'")
    guard = Guard("parcels", "SELECT 1 FROM parcels WHERE color IS NOT NULL", "colors", "002")
    back = {"way": "down", "steps": (Step("002", "001"),), "guards": (guard,)}
    drop = "op.drop_column('parcels', 'color')"
    bench.execute("UPDATE parcels SET color = 'red' WHERE id = 1")
    refused = begin(ADD, drop, **back)
    assert "colors; nothing was taken back" in refused.ending().message
    assert bench.version() == "002"


def test_a_way_back_goes_step_by_step(bench: Any, begin: Begin) -> None:
    bench.execute("ALTER TABLE parcels ADD COLUMN color text; CREATE TABLE tags (id int)")
    bench.execute("UPDATE alembic_version SET version_num = '003'")
    bench.tree.add(ADD, "op.drop_column('parcels', 'color')")
    guards = (
        Guard("tags", "SELECT 1 FROM tags", "tags", "003"),
        Guard("parcels", "SELECT 1 FROM parcels WHERE color IS NOT NULL", "colors", "002"),
    )
    run = begin(
        "op.execute('CREATE TABLE tags (id int)')",
        "op.drop_table('tags')",
        way="down",
        steps=(Step("003", "002"), Step("002", "001")),
        guards=guards,
    )
    assert run.ending().outcome == "applied"
    assert [each["revision"] for each in run.said("revision_done")] == ["003", "002"]
    assert bench.version() == "001"
    with pytest.raises(psycopg.errors.UndefinedColumn):
        bench.scalar("SELECT color FROM parcels")


def test_the_lock_is_asked_for_as_long_as_the_application_takes(
    bench: Any, begin: Begin, eventually: Any
) -> None:
    read = "SELECT pg_sleep(0.03) FROM (SELECT count(*) FROM parcels) AS c"
    with Application(bench, read) as application:
        eventually(lambda: application.served)
        run = begin("op.execute(\"CREATE TABLE seen AS SELECT current_setting('lock_timeout') s\")")
        assert run.ending().outcome == "applied"
    asked_ms = int(bench.scalar("SELECT s FROM seen").removesuffix("ms"))
    assert 50 <= asked_ms <= 100


def test_a_cancelled_attempt_is_counted_and_the_next_one_gets_through(bench: Any) -> None:
    bench.begin_with_parcels("INSERT INTO parcels VALUES (1, 1)")
    bench.tree.add(f"{LOCKED}; op.execute('SELECT pg_sleep(1.5)')")
    waiting: list[Any] = []

    def look_until_it_waits() -> None:
        took_s = 0.0
        while took_s < 0.2:
            begun = time.monotonic()
            bench.scalar("SELECT 1 FROM parcels")
            took_s = time.monotonic() - begun

    def on_progress(fields: Any) -> None:
        if fields.get("attempt") == 1 and not waiting:
            waiting.append(bench.in_background(look_until_it_waits))

    run = bench.migrations.run("shippyar", order=bench.ana, listener=Listener(on_progress))
    assert run.state == "done"
    waiting[0].result()
    counted = bench.metrics.registry.get_sample_value(
        "shippyard_migration_watchdog_cancels_total", {"database": "shippyar"}
    )
    assert counted == len([s for s in run.detail["steps"] if s["event"] == "watchdog"])
    assert counted >= 1
