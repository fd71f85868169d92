"""What every test may ask for: a clock that obeys, a state database, a real PostgreSQL."""

import gc
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol, TypeVar

import psycopg
import pytest
import structlog
from psycopg import sql

from shippyard.host.process import Processes
from shippyard.postgres.embedded import EmbeddedCluster, embedded_cluster
from shippyard.postgres.target import Target
from shippyard.postgres.tools import server_tools
from shippyard.state.database import FILE_NAME, State, open_state

T = TypeVar("T")


class FakeClock:
    """Stands still until told."""

    def __init__(self) -> None:
        self._now = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
        self._monotonic = 1000.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds


class Eventually(Protocol):
    def __call__(self, condition: Callable[[], T], timeout_s: float = 30.0) -> T: ...


# Don't look through a million objects of imported code for garbage, again and again.
gc.disable()


def pytest_configure(config: pytest.Config) -> None:
    """Keep temporary files apart from those of every other pytest.

    The folder they have in common is shut to others each time one of them starts, and PostgreSQL,
    which refuses to run as root, could no longer reach what a test of ours had opened to it.
    """
    if "PYTEST_XDIST_WORKER" in os.environ or config.option.basetemp:
        return
    mine = Path(tempfile.mkdtemp(prefix="shippyard-tests-"))
    mine.chmod(0o711)
    config.option.basetemp = mine / "of"
    config.add_cleanup(lambda: shutil.rmtree(mine, ignore_errors=True))


def pytest_collection_finish() -> None:
    """From here on garbage is a test's own."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def plain_logs() -> None:
    """Log lines as JSON: drawing tracebacks for nobody takes a tenth of the unit tests' time."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str),
        ]
    )


@pytest.fixture(scope="session")
def eventually() -> Eventually:
    """Poll a condition until it is true, or fail at the deadline with its last value."""

    def poll(condition: Callable[[], T], timeout_s: float = 30.0) -> T:
        deadline = time.monotonic() + timeout_s
        while not (value := condition()):
            assert time.monotonic() < deadline, f"still {value!r} after {timeout_s:g} s"
            time.sleep(0.02)
        return value

    return poll


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="session")
def empty_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state database at this version's schema with nothing in it, made once: to be copied."""
    made = tmp_path_factory.mktemp("state")
    with open_state(made):
        return made / FILE_NAME


@pytest.fixture
def state(tmp_path: Path, empty_state: Path) -> Iterator[State]:
    (tmp_path / "state").mkdir(mode=0o700)
    shutil.copyfile(empty_state, tmp_path / "state" / FILE_NAME)
    with open_state(tmp_path / "state") as opened:
        yield opened


@pytest.fixture(scope="session")
def processes() -> Iterator[Processes]:
    made = Processes()
    yield made
    made.end_all()


@pytest.fixture(scope="session")
def cluster(processes: Processes) -> Iterator[EmbeddedCluster]:
    with embedded_cluster(server_tools(processes), processes) as running:
        yield running


@pytest.fixture
def fresh_database(cluster: EmbeddedCluster) -> Iterator[Target]:
    """A new, empty database; gone after the test."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    admin = cluster.target()
    with psycopg.connect(**admin.conninfo(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield replace(admin, dbname=name)
    with psycopg.connect(**admin.conninfo(), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
