"""Proves that a backfill is felt by nobody, takes its time within reason, and survives kill -9.

Owns the rows; the users and the traffic are `users`' and `pgbench`'s business.
"""

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg

from proofs.shippyar.pgbench import Latencies, traffic
from proofs.shippyar.users import Ground, ground, scalar
from proofs.table import Context, Outcome, Row
from proofs.waiting import until
from shippyard.host.process import Child, Processes
from shippyard.postgres.embedded import embedded_cluster
from shippyard.postgres.target import Target
from shippyard.postgres.tools import server_tools

GOAL_MS, NEVER_MS = 300.0, 1000.0
GOAL_TIMES, GOAL_GROWTH = 3.0, 1.7
PER_S = 150
QUIET_S, QUICK_QUIET_S = 10.0, 3.0
DRAIN_S = 4.0

SIZE_SQL = "SELECT pg_total_relation_size('users')"
LEFT_SQL = "SELECT count(*) FROM users WHERE subscription_tier IS NULL"
PLAIN_SQL = """
UPDATE users SET subscription_tier = CASE WHEN company_id IS NULL THEN 'basic' ELSE 'business' END
WHERE subscription_tier IS NULL
"""

TOUCHED, QUICK_TOUCHED = 200_000, 50_000
KILLS_EACH, KILL_WITHIN_S = 5, 1.0
TOUCHED_SQL = "CREATE TABLE touched (id uuid PRIMARY KEY, n int NOT NULL DEFAULT 0)"
TOUCHED_ROWS_SQL = "INSERT INTO touched SELECT gen_random_uuid() FROM generate_series(1, {rows})"
DONE_SQL = "SELECT coalesce(sum(rows), 0) FROM shippyard.backfill"
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
spec = Spec("touches", "touched", {"n": "n + 1"}, limits=Limits(target_ms=20))
with connected(Target(host, 5432, dbname, user), "t") as connection:
    Worker(connection, SystemClock(), lambda _: None).run(spec)
"""


@dataclass(frozen=True)
class Felt:
    """One way to fill a column: how long, what the application felt, how the table grew."""

    elapsed_s: float
    latencies: Latencies
    growth: float


def backfill(context: Context) -> Outcome:
    """Revision 004 under traffic, beside one UPDATE on a copy under the same traffic."""
    users = context.count(full=2_000_000, quick=150_000)
    with ground(users) as here:
        context.say(f"{users:,} users are there")
        quiet = _quiet(here, context, users)
        context.say(f"traffic alone: {quiet}")
        ours = _measure(here, context, users, "ours", lambda to: here.upgrade(to, "004"))
        context.say(f"backfill: {ours.elapsed_s:.1f} s, {ours.latencies}, {ours.growth:.2f} x")
        plain = _measure(here, context, users, "plain", _update)
        context.say(f"UPDATE: {plain.elapsed_s:.1f} s, {plain.latencies}, {plain.growth:.2f} x")
    times = ours.elapsed_s / plain.elapsed_s
    stalls = sum(each > GOAL_MS for each in ours.latencies.ms)
    # of a small table the start of Alembic is most of the time
    in_time = context.quick or times <= GOAL_TIMES
    ok = ours.latencies.longest <= GOAL_MS and in_time and ours.growth <= GOAL_GROWTH
    measured = (
        f"longest statement {ours.latencies.longest:.0f} ms ({stalls} over {GOAL_MS:.0f}) of "
        f"{len(ours.latencies.ms):,}, p99 {ours.latencies.quantile(0.99):.0f} ms; "
        f"{ours.elapsed_s:.0f} s = {times:.1f} x the UPDATE's; grew {ours.growth:.2f} x"
    )
    note = (
        f"{users:,} users, {PER_S} reads and {PER_S} writes a second, timed from when they were "
        f"due. Traffic alone: {quiet}. One UPDATE, same traffic: {plain.elapsed_s:.0f} s, "
        f"{plain.latencies}, {plain.growth:.2f} x. With the backfill: {ours.latencies}"
    )
    return Outcome(measured, ok, note)


def _quiet(here: Ground, context: Context, users: int) -> Latencies:
    quiet_s = QUICK_QUIET_S if context.quick else QUIET_S
    return _measure(here, context, users, "quiet", lambda _: time.sleep(quiet_s)).latencies


def _measure(
    here: Ground, context: Context, users: int, name: str, work: Callable[[Target], object]
) -> Felt:
    target = here.copy(name)
    before = scalar(target, SIZE_SQL)
    folder = context.folder / name
    with traffic(target, here.tools, here.processes, folder, users=users, per_s=PER_S) as app:
        begun = time.monotonic()
        work(target)
        elapsed_s = time.monotonic() - begun
        # what waited meanwhile is sent and written down
        time.sleep(DRAIN_S)
    after = scalar(target, SIZE_SQL)
    left = scalar(target, LEFT_SQL)
    here.drop(target)
    assert left in {0, users}, f"{left} users were left out"
    return Felt(elapsed_s, app.latencies(), after / before)


def _update(target: Target) -> None:
    with psycopg.connect(**target.conninfo(), autocommit=True) as connection:
        connection.execute(PLAIN_SQL.encode())


def kill(context: Context) -> Outcome:
    """`kill -9` of a worker at random points, again and again, until all is filled."""
    chance = random.Random(20260304)  # the same points each time
    kills = context.count(full=50, quick=8)
    rows = context.count(full=TOUCHED, quick=QUICK_TOUCHED)
    problems: list[str] = []
    points: list[int] = []
    times = 0
    processes = Processes()
    try:
        with embedded_cluster(server_tools(processes), processes) as cluster:
            target = cluster.target()
            _execute(target, TOUCHED_SQL, TOUCHED_ROWS_SQL.format(rows=rows))
            while len(points) < kills:
                times += 1
                points += _killed_until_done(target, processes, chance, kills - len(points))
                problems += _once(target, times)
                _execute(target, "DELETE FROM shippyard.backfill")
                context.say(f"{len(points)} of {kills} kills, {len(problems)} problems")
    finally:
        processes.end_all()
    middle = sum(0 < point < rows for point in points)
    measured = f"{kills} kills, {middle} in the middle; {len(problems)} rows skipped or done twice"
    note = f"{times} backfills of {rows:,} rows, each n = n + 1. " + "; ".join(problems[:3])
    return Outcome(measured, not problems and middle > 0, note.strip())


def _killed_until_done(
    target: Target, processes: Processes, chance: random.Random, kills: int
) -> list[int]:
    """Kill worker after worker until the backfill is done; how many rows were done at each."""
    points: list[int] = []
    argv = [sys.executable, "-c", WORKER, target.host, target.dbname, target.user]
    while len(points) < min(kills, KILLS_EACH):
        with processes.start(argv) as worker:
            until(
                lambda: scalar(target, WORKING_SQL) or not worker.running, 20.0, "a worker at work"
            )
            time.sleep(chance.uniform(0, KILL_WITHIN_S))
            was_killed = _killed(worker)
        until(lambda: not scalar(target, WORKING_SQL), 10.0, "its session gone")
        if not was_killed:
            break  # it was done before
        points.append(scalar(target, DONE_SQL))
    done = processes.run(argv, timeout_s=120)
    assert done.returncode == 0, done.reason()
    return points


def _killed(worker: Child) -> bool:
    """End a worker as a crash does; False when it had ended by itself."""
    if not worker.running:
        return False
    try:
        os.kill(worker.pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _once(target: Target, times: int) -> list[str]:
    """Rows that were not changed exactly `times` times."""
    wrong = scalar(target, f"SELECT count(*) FROM touched WHERE n <> {times}")
    return [f"{wrong} rows after backfill {times}"] if wrong else []


def _execute(target: Target, *statements: str) -> None:
    with psycopg.connect(**target.conninfo(), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


ROWS = (
    Row(
        "backfill",
        "A backfill of 2 M rows is not felt by the application",
        "longest statement <= 300 ms, none > 1 s; <= 3 x one UPDATE's time; table <= 1.7 x",
        backfill,
        alone=True,
    ),
    Row(
        "backfill-kill",
        "A backfill that is killed goes on: no row is skipped, none done twice",
        "kill -9 at random points, every row changed once",
        kill,
    ),
)
