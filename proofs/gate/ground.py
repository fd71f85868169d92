"""Owns a database with an application at work, and runs on it, for proofs of politeness.

What the application felt is measured by the application alone. Refuses to know what is too long.
"""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from proofs.gate.course import Change, Yard, execute, policy, write_tree, yard
from proofs.shippyar.pgbench import Latencies, pgbench
from proofs.table import Context
from shippyard.migration.planner import Prepared
from shippyard.migration.supervise import Ending, Event
from shippyard.postgres.tools import server_tools

CLIENTS = 16
RATE = 300
ROWS_COUNT = 2000
BEFORE_S = 1.0
RUN_TIMEOUT_S = 120.0
OVER_MS = 1000.0
DATABASE = "traffic"

SETUP = f"""
CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL, note text);
INSERT INTO accounts SELECT n, 100, 'note' FROM generate_series(1, {ROWS_COUNT}) AS n;
CREATE TABLE ledger (id int PRIMARY KEY, amount int);
INSERT INTO ledger SELECT n, n FROM generate_series(1, 600000) AS n;
ANALYZE;
"""
LIGHT = f"""\\set n random(1, {ROWS_COUNT})
BEGIN;
SELECT balance FROM accounts WHERE id = :n;
UPDATE accounts SET balance = balance + 1 WHERE id = :n;
END;
"""
# As `alembic init` writes it, in short: the URL is its own, and so are the settings.
PLAIN_ENV = """
import os
from alembic import context
from sqlalchemy import create_engine

with create_engine(os.environ["PLAIN"]).connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
"""


@dataclass(frozen=True)
class Felt:
    """What an application felt: every transaction's time, and the longest in which none ended."""

    latencies: Latencies
    stall_ms: float

    @property
    def over(self) -> int:
        """Transactions that took longer than a second."""
        return sum(ms > OVER_MS for ms in self.latencies.ms)

    @property
    def p99_ms(self) -> float:
        """The time that 99 of 100 stayed under."""
        return self.latencies.quantile(0.99)

    def __str__(self) -> str:
        return (
            f"p99 {self.p99_ms:.0f} ms, longest {self.latencies.longest:.0f} ms, stall "
            f"{self.stall_ms:.0f} ms, {self.over} of {len(self.latencies.ms)} over 1 s"
        )


@dataclass
class Ground:
    """A server with one database that revisions are tried on."""

    yard: Yard
    context: Context

    def __post_init__(self) -> None:
        self.target = self.yard.copy(DATABASE)
        self._trees = 0

    def prepared(self, changes: Mapping[str, Change], **more: Any) -> Prepared:
        """A plan of revisions for the database as it is."""
        self._trees += 1
        ini = write_tree(self.context.folder / f"tree{self._trees}", changes)
        self.yard.tell("DROP TABLE IF EXISTS alembic_version", DATABASE)
        settings = {"retry_pause_s": 1.0, "lock_attempts": 30, **more}
        return self.yard.planner.prepare(DATABASE, self.target, policy(ini, **settings), "head")

    def run(self, prepared: Prepared, **more: Any) -> tuple[Ending, list[Event]]:
        """Run a plan, or what `more` says of it; gives its events."""
        events: list[Event] = []
        spec = replace(prepared.run_spec(f"proof-{os.getpid()}-{self._trees}"), **more)
        return self.yard.supervisor.run(spec, RUN_TIMEOUT_S, events.append), events

    def plain(self, changes: Mapping[str, Change]) -> int:
        """`alembic upgrade head` as it comes; gives its exit status."""
        self._trees += 1
        folder = self.context.folder / f"tree{self._trees}"
        ini = write_tree(folder, changes)
        (folder / "env.py").write_text(PLAIN_ENV)
        self.yard.tell("DROP TABLE IF EXISTS alembic_version", DATABASE)
        target = self.target
        where = f"{target.user}@/{target.dbname}?host={target.host}&port={target.port}"
        argv = [sys.executable, "-m", "alembic", "-c", str(ini), "upgrade", "head"]
        ran = self.yard.processes.run(
            argv, env={"PLAIN": f"postgresql+psycopg://{where}"}, timeout_s=RUN_TIMEOUT_S
        )
        return ran.returncode

    @contextmanager
    def traffic(self, name: str, script: str, rate: int | None) -> Iterator[list[Felt]]:
        """An application at work for a block; what it felt is there after it."""
        felt: list[Felt] = []
        folder = self.context.folder / name
        tools = server_tools(self.yard.processes)
        scripts = {"script": script}
        with pgbench(
            self.target, tools, self.yard.processes, folder, scripts, rate=rate, clients=CLIENTS
        ) as made:
            time.sleep(BEFORE_S)
            yield felt
        ended = sorted(made.ended())
        moments = [at for at, _ in ended]
        stall_s = max(b - a for a, b in pairwise(moments))
        felt.append(Felt(made.latencies(), stall_s * 1000))


@contextmanager
def ground(context: Context) -> Iterator[Ground]:
    """The server, for the length of a block."""
    with yard(context.folder, SETUP, {"shared_buffers": "256MB"}) as made:
        yield Ground(made, context)


def adding(column: str) -> Change:
    """A revision that adds a column to the table in use."""
    return Change(execute(f"ALTER TABLE accounts ADD COLUMN {column} int"))
