"""A backfill in the daemon's runner, and workers that are killed: it goes on where it was."""

import os
import signal
import sys
from functools import partial
from typing import Any

import pytest

from shippyard.host.process import Processes
from shippyard.migration.execution import Listener, RunFailed
from tests.conftest import Eventually

ROWS = 4000
ADDED = "ALTER TABLE parcels ADD COLUMN n int NOT NULL DEFAULT 0"
FILLED = f"INSERT INTO parcels (id, n) SELECT g, 0 FROM generate_series(1, {ROWS}) g"
BACKFILL = (
    "from shippyard.migration import ops; ops.backfill('touches', 'parcels', {'n': 'n + 1'}%s)"
)
ONCE_SQL = "SELECT count(*) FROM parcels WHERE n = 1"
OFTEN_SQL = "SELECT count(*) FROM parcels WHERE n > 1"
WORKING_SQL = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'shippyard:backfill:t'"
)

WORKER = """
import sys
from shippyard.host.clock import SystemClock
from shippyard.migration.backfill.connecting import connected
from shippyard.migration.backfill.spec import Spec
from shippyard.migration.backfill.throttle import Limits
from shippyard.migration.backfill.worker import Worker
from shippyard.postgres.target import Target

host, dbname, user = sys.argv[1:]
spec = Spec("touches", "parcels", {"n": "n + 1"}, limits=Limits(target_ms=5, duty=0.2))
with connected(Target(host, 5432, dbname, user), "t") as connection:
    Worker(connection, SystemClock(), lambda _: None).run(spec)
"""


@pytest.fixture
def bench(bench: Any) -> Any:
    bench.begin_with_parcels(f"{ADDED}; {FILLED}")
    return bench


def test_a_run_fills_tells_how_far_it_is_and_keeps_its_record_short(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.tree.add(BACKFILL % "")
    assert bench.run().state == "done"
    assert bench.scalar(ONCE_SQL) == ROWS
    assert any("touches: 4,000 rows filled" in event["message"] for event in bench.events)
    recorded = [step["event"] for step in bench.migrations.history()[0].detail["steps"]]
    assert "progress" not in recorded


def test_a_run_whose_rows_stay_locked_fails_and_the_next_one_goes_on(bench: Any) -> None:
    bench.tree.add(BACKFILL % "")
    short = bench.migrations._config.model_copy(update={"lock_attempts": 3})
    with bench.connect() as application, application.transaction():
        application.execute("UPDATE parcels SET weight = 1 WHERE id = 3000")
        with pytest.raises(RunFailed, match=r"lock timeout.*what it committed before stays"):
            bench.build(config=short).run(
                "shippyar", "head", order=bench.ana, listener=Listener(print)
            )
        before = bench.scalar(ONCE_SQL)
        assert 0 < before < ROWS
    assert bench.version() == "001"
    assert bench.run().state == "done"
    assert (bench.scalar(ONCE_SQL), bench.scalar(OFTEN_SQL)) == (ROWS, 0)


def test_a_run_that_is_stopped_ends_between_batches_and_the_next_one_goes_on(
    bench: Any, eventually: Eventually
) -> None:
    bench.tree.add(BACKFILL % ", target_ms=5, duty=0.2")
    running = bench.in_background(bench.run)
    eventually(lambda: bench.scalar(ONCE_SQL) > 0)
    bench.migrations.stop()
    with pytest.raises(RunFailed, match="stopp"):
        running.result()
    stopped_at = bench.scalar(ONCE_SQL)
    assert 0 < stopped_at < ROWS
    assert bench.scalar("SELECT rows FROM shippyard.backfill") == stopped_at
    bench.build().run("shippyar", "head", order=bench.ana, listener=Listener(print))
    assert (bench.scalar(ONCE_SQL), bench.scalar(OFTEN_SQL)) == (ROWS, 0)


def test_kill_9_in_the_middle_skips_no_row_and_does_none_twice(
    bench: Any, eventually: Eventually, processes: Processes
) -> None:
    target = bench.target
    argv = [sys.executable, "-c", WORKER, target.host, target.dbname, target.user]
    for share in (0.0, 0.2, 0.4):
        with processes.start(argv) as worker:
            eventually(partial(_has_passed, bench, share * ROWS), timeout_s=20)
            os.kill(worker.pid, signal.SIGKILL)
        eventually(lambda: bench.scalar(WORKING_SQL) == 0)
        done = bench.scalar(ONCE_SQL)
        assert share * ROWS < done < ROWS
        assert bench.scalar("SELECT rows FROM shippyard.backfill") == done
    assert processes.run(argv, timeout_s=30).returncode == 0
    assert (bench.scalar(ONCE_SQL), bench.scalar(OFTEN_SQL)) == (ROWS, 0)


def _has_passed(bench: Any, rows: float) -> bool:
    return bool(bench.scalar(ONCE_SQL) > rows)
