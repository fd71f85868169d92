"""Owns the ground for proofs of backfills: the Shippyar schema with many users, and its Alembic."""

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

import psycopg
from psycopg import sql

from shippyard.host.process import Processes
from shippyard.postgres.embedded import EmbeddedCluster, embedded_cluster
from shippyard.postgres.target import Target
from shippyard.postgres.tools import Tools, server_tools
from shippyard.setup.schema import MIGRATIONS, make_policy_roles, url_of

TEMPLATE = "filled"
BEFORE = "003"
"""The revision before the tier's backfill."""

ALEMBIC_TIMEOUT_S = 1800.0

# As a server in earnest has them: durable, and with room for the WAL of what is measured.
SETTINGS = {"fsync": "on", "shared_buffers": "512MB", "max_wal_size": "8GB"}

REFERENCE_SQL = """
INSERT INTO countries (code, alpha3, numeric_code, name) VALUES ('DE', 'DEU', '276', 'Germany');
INSERT INTO companies (id, country_code, registration_number, name)
SELECT md5('company' || n)::uuid, 'DE', 'HRB ' || n, 'Company ' || n
FROM generate_series(1, 1000) n
"""
# A row is as wide as a real one; ids come in no order, a third sends for a company. The column is
# new, so rows of before have no value in it.
USERS_SQL = """
INSERT INTO users (id, company_id, email, full_name, phone, status, created_at, updated_at,
    subscription_tier)
SELECT md5(n::text)::uuid,
    CASE WHEN n % 3 = 0 THEN md5('company' || 1 + n % 1000)::uuid END,
    'person.' || md5(n::text) || '@mail' || n % 500 || '.example', 'Person Number ' || n,
    '+4930' || 10000000 + n, 'active', now() - n * interval '17 seconds', now(), NULL
FROM generate_series(1, {users}) n
"""


@dataclass(frozen=True)
class Ground:
    """A cluster with a database of users to copy."""

    cluster: EmbeddedCluster
    tools: Tools
    processes: Processes

    def copy(self, name: str) -> Target:
        """A database with the users of before, on disk like the first, page by page."""
        with psycopg.connect(**self.cluster.target().conninfo(), autocommit=True) as admin:
            statement = "CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY"
            admin.execute(sql.SQL(statement).format(sql.Identifier(name), sql.Identifier(TEMPLATE)))
            admin.execute("CHECKPOINT")
        return self.cluster.target(name)

    def drop(self, target: Target) -> None:
        """Make room again."""
        with psycopg.connect(**self.cluster.target().conninfo(), autocommit=True) as admin:
            admin.execute(
                sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(target.dbname))
            )

    def upgrade(self, target: Target, revision: str) -> float:
        """Plain Alembic, in a process of its own; how long it took."""
        ini = str(MIGRATIONS / "alembic.ini")
        done = self.processes.run(
            [sys.executable, "-m", "alembic", "-c", ini, "upgrade", revision],
            timeout_s=ALEMBIC_TIMEOUT_S,
            env={"SHIPPYAR_DATABASE_URL": url_of(target)},
        )
        assert done.returncode == 0, done.reason()
        return done.elapsed_s


@contextlib.contextmanager
def ground(users: int) -> Iterator[Ground]:
    """A cluster whose database `filled` has `users` at the revision before their tier is filled."""
    processes = Processes()
    tools = server_tools(processes)
    try:
        with embedded_cluster(tools, processes, SETTINGS) as cluster:
            made = Ground(cluster, tools, processes)
            _fill(made, users)
            yield made
    finally:
        processes.end_all()


def scalar(target: Target, question: str) -> int:
    """One number."""
    with psycopg.connect(**target.conninfo(), autocommit=True) as connection:
        row = connection.execute(question.encode()).fetchone()
    assert row is not None
    return int(row[0])


def _fill(made: Ground, users: int) -> None:
    admin = made.cluster.target()
    make_policy_roles(admin)
    target = replace(admin, dbname=TEMPLATE)
    with psycopg.connect(**admin.conninfo(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
    made.upgrade(target, BEFORE)
    with psycopg.connect(**target.conninfo(), autocommit=True) as connection:
        connection.execute(REFERENCE_SQL.encode())
        connection.execute(USERS_SQL.format(users=users).encode())
        connection.execute("VACUUM (FREEZE, ANALYZE)")
        connection.execute("CHECKPOINT")
