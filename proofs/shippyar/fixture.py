"""Owns the rows about databases for tests: how soon a fresh one is there, how fast it is filled."""

import io
import json
import statistics
import sys
import textwrap
import time
from dataclasses import replace

import psycopg
from alembic import command
from alembic.config import Config
from psycopg import sql
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from bench.volume import compare
from proofs.table import Context, Outcome, Row
from shippyard.host.process import Processes
from shippyard.postgres.embedded import embedded_cluster
from shippyard.postgres.tools import server_tools
from shippyard.setup.schema import MIGRATIONS, make_policy_roles, url_of

GOAL_MS = 100.0
TESTS, QUICK_TESTS = 200, 100
MIGRATED, QUICK_MIGRATED = 10, 3
PYTEST_TIMEOUT_S = 600.0
SCALE, QUICK_SCALE = 5, 0.3
INSERT_SCALE, QUICK_INSERT_SCALE = 0.5, 0.1
GOAL_RATIO = 3.0

# Times what a test waits for: from asking for the fixture until it is there, a query answered.
CONFTEST = """
import json, time
from pathlib import Path
import pytest

pytest_plugins = ["shippyard.testing.fixtures"]
waited = []

@pytest.fixture
def fresh(request):
    begun = time.monotonic()
    database = request.getfixturevalue("shippyar_database")
    with database.connect() as connection:
        connection.execute("SELECT count(*) FROM users")
    waited.append((time.monotonic() - begun) * 1000)
    return database

def pytest_sessionfinish():
    Path("waited.json").write_text(json.dumps(waited))
"""
# Each writes what would break the next one if the database were not its own.
TESTS_FILE = """
import pytest

@pytest.mark.parametrize("n", range({tests}))
def test_alone(fresh, n):
    with fresh.connect() as connection:
        connection.execute("INSERT INTO users (email_v2, full_name) VALUES ('a@example.com', 'A')")
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (1,)
"""


def fixture(context: Context) -> Outcome:
    """Real tests by real pytest, then the same with every revision run each time."""
    tests = context.count(full=TESTS, quick=QUICK_TESTS)
    processes = Processes()
    try:
        waited, elapsed_s = _run_tests(context, processes, tests)
        context.say("the same by running the revisions")
        migrated = _migrate(processes, context.count(full=MIGRATED, quick=QUICK_MIGRATED))
    finally:
        processes.end_all()
    # the first one pays for the server and the template, once for all tests
    once_ms, each = waited[0], sorted(waited[1:])
    median = statistics.median(each)
    p95 = each[int(len(each) * 0.95)]
    return Outcome(
        f"median {median:.0f} ms, p95 {p95:.0f} ms over {len(each)} tests; running the revisions "
        f"each time: {statistics.median(migrated):,.0f} ms",
        ok=median <= GOAL_MS and len(waited) == tests,
        note=f"server and template once: {once_ms / 1000:.1f} s; all of pytest: {elapsed_s:.0f} s, "
        f"which is {1000 * elapsed_s / tests:.0f} ms for each test; slowest {each[-1]:.0f} ms",
    )


def volume(context: Context) -> Outcome:
    """The generator with COPY beside INSERT … executemany of the same rows, fsync on."""
    found = compare(
        SCALE if not context.quick else QUICK_SCALE,
        INSERT_SCALE if not context.quick else QUICK_INSERT_SCALE,
    )
    return Outcome(
        f"{found.copied_per_s:,.0f} rows/s, {found.ratio:.1f} times INSERT … executemany "
        f"({found.inserted_per_s:,.0f} rows/s)",
        ok=found.ratio >= GOAL_RATIO,
        note=f"{found.rows:,} rows in {found.copy_s:.1f} s beside {found.insert_rows:,} rows in "
        f"{found.insert_s:.1f} s, ANALYZE included",
    )


def _run_tests(context: Context, processes: Processes, tests: int) -> tuple[list[float], float]:
    folder = context.folder / "team"
    folder.mkdir()
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_alone.py").write_text(TESTS_FILE.format(tests=tests))
    done = processes.run(
        [sys.executable, "-m", "pytest", "-q", "--rootdir=.", "-p", "no:cacheprovider"],
        timeout_s=PYTEST_TIMEOUT_S,
        cwd=folder,
        env={"PYTHONPATH": str(context.root)},
    )
    assert done.returncode == 0, f"{textwrap.shorten(done.stdout[-800:], 400)} {done.reason()}"
    return json.loads((folder / "waited.json").read_text()), done.elapsed_s


def _migrate(processes: Processes, times: int) -> list[float]:
    """Milliseconds for an empty database and every revision in it, in this process."""
    config = Config(MIGRATIONS / "alembic.ini", stdout=io.StringIO())
    with embedded_cluster(server_tools(processes), processes) as cluster:
        admin = cluster.target()
        make_policy_roles(admin)
        waited = []
        with psycopg.connect(**admin.conninfo(), autocommit=True) as connection:
            for number in range(times):
                begun, name = time.monotonic(), f"migrated_{number}"
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
                with create_engine(
                    url_of(replace(admin, dbname=name)), poolclass=NullPool
                ).connect() as session:
                    config.attributes["connection"] = session
                    command.upgrade(config, "head")
                waited.append((time.monotonic() - begun) * 1000)
        return waited


ROWS = (
    Row(
        "fixture",
        "A test gets a fresh database at head, its own",
        "≤ 100 ms median",
        fixture,
        alone=True,
    ),
    Row(
        "volume",
        "Production-like volume is made by COPY",
        "≥ 3 times INSERT … executemany",
        volume,
        alone=True,
    ),
)
