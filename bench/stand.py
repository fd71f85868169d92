"""Owns a server with the Shippyar database at revision 002, full of people, and copies of it.

Each copy is changed in another way; what they begin with is the same to the byte.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from bench.waits import ROLE_SETTINGS, SERVER_SETTINGS
from shippyard.config.migration import Migration
from shippyard.host.process import Processes
from shippyard.migration.planner import Planner
from shippyard.migration.supervise import Event, Supervisor
from shippyard.postgres.embedded import EmbeddedCluster
from shippyard.postgres.target import Target
from shippyard.postgres.tools import Tools, server_tools
from shippyard.setup.bootstrap.wanted import MIGRATOR_DEADLOCK_TIMEOUT
from shippyard.setup.schema import MIGRATIONS, make_policy_roles
from shippyard.setup.seed import load_seeds
from shippyard.setup.volume.filling import fill
from shippyard.setup.volume.shape import USERS, Shape

OWNER, MIGRATOR, APPLICATION = "shippyar_owner", "shippyar_migrator", "shippyar_app"
FIRST = "002"
FULL = "filled"
FILLED = ("user_preferences", "addresses")  # and what they point at

# As durable as elsewhere, and no checkpoint every few seconds.
SETTINGS = {
    **SERVER_SETTINGS,
    "fsync": "on",
    "shared_buffers": "512MB",
    "max_wal_size": "8GB",
    "max_connections": "100",
}

# What the daemon goes by where its configuration says nothing else.
POLICY = Migration(alembic_ini=MIGRATIONS / "alembic.ini")

ROLES = f"""
ALTER ROLE {APPLICATION} LOGIN;
CREATE ROLE {OWNER} NOLOGIN BYPASSRLS;
CREATE ROLE {MIGRATOR} LOGIN BYPASSRLS IN ROLE {OWNER};
ALTER ROLE {MIGRATOR} SET role = '{OWNER}';
ALTER ROLE {MIGRATOR} SET deadlock_timeout = '{MIGRATOR_DEADLOCK_TIMEOUT}';
"""

GRANTS = f"""
GRANT USAGE ON SCHEMA public TO {APPLICATION};
GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO {APPLICATION};
"""


class ChangeFailed(Exception):
    """A revision did not go through; one line that says which and why."""


@dataclass(frozen=True)
class Stand:
    """The server. Databases are named; nobody but us is on it."""

    cluster: EmbeddedCluster
    processes: Processes
    folder: Path

    def target(self, dbname: str, user: str) -> Target:
        """How to reach a database as one of the roles."""
        return self.cluster.target(dbname, user)

    def copy(self, dbname: str) -> None:
        """Another database with the same people."""
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {} STRATEGY file_copy")
        self.tell(statement.format(*map(sql.Identifier, (dbname, FULL, OWNER))))
        self.tell(sql.SQL("CHECKPOINT"))

    def tell(self, statement: sql.Composed | sql.SQL, dbname: str = "postgres") -> None:
        """Run a statement as superuser."""
        with psycopg.connect(**self.cluster.target(dbname).conninfo(), autocommit=True) as opened:
            opened.execute(statement)

    def ask(self, question: sql.Composed, dbname: str) -> list[tuple[Any, ...]]:
        """The rows of an answer, as superuser, whom no policy filters."""
        with psycopg.connect(**self.cluster.target(dbname).conninfo()) as opened:
            return opened.execute(question).fetchall()


@dataclass(frozen=True)
class Applied:
    """One revision, when it was begun (seconds since 1970), and how long it took."""

    revision: str
    begun: float
    wall_s: float


@dataclass(frozen=True)
class Migrator:
    """Applies revisions the way the daemon does: its plan, its child, its settings."""

    stand: Stand
    dbname: str

    def apply(self, revision: str) -> list[Applied]:
        """Everything up to this revision, one after the other.

        Raises:
            ChangeFailed: one did not go through.
        """
        supervisor = Supervisor(self.stand.processes)
        planner = Planner(self.stand.folder / "plans", supervisor)
        target = self.stand.target(self.dbname, MIGRATOR)
        prepared = planner.prepare(self.dbname, target, POLICY, revision, for_run=True)
        begun: dict[str, float] = {}
        applied: list[Applied] = []

        def on_event(event: Event) -> None:
            name = str(event.get("revision", ""))
            begun.setdefault(name, time.time())
            if event["event"] == "revision_done":
                applied.append(Applied(name, begun[name], time.time() - begun[name]))

        spec = prepared.run_spec(f"bench-{revision}")
        ending = supervisor.run(spec, POLICY.timeout_s, on_event)
        if ending.outcome != "applied":
            raise ChangeFailed(f"{revision}: {ending.outcome}: {ending.message}")
        return applied


@contextmanager
def stand(
    folder: Path, processes: Processes, users: int, tools: Tools | None = None
) -> Iterator[Stand]:
    """A server with the filled database, for the length of a block."""
    folder.mkdir(parents=True, exist_ok=True)
    cluster = EmbeddedCluster(
        folder / "postgres", tools or server_tools(processes), processes, SETTINGS
    )
    try:
        cluster.create()
        cluster.start()
        made = Stand(cluster, processes, folder)
        _fill(made, users)
        yield made
    finally:
        cluster.destroy()


def _fill(made: Stand, users: int) -> None:
    make_policy_roles(made.cluster.target())
    made.tell(sql.SQL(ROLES))
    for name, value in ROLE_SETTINGS.items():
        statement = sql.SQL("ALTER ROLE {} SET {} = {}")
        made.tell(statement.format(*map(sql.Identifier, (APPLICATION, name)), sql.Literal(value)))
    made.tell(sql.SQL(f"CREATE DATABASE {FULL} OWNER {OWNER}"))
    Migrator(made, FULL).apply(FIRST)
    made.tell(sql.SQL(GRANTS), FULL)
    owner = made.target(FULL, MIGRATOR)
    load_seeds(owner, "staging")
    fill(owner, Shape(scale=users / USERS), FILLED)
    made.tell(sql.SQL("VACUUM (FREEZE, ANALYZE)"), FULL)
    made.tell(sql.SQL("CHECKPOINT"))
