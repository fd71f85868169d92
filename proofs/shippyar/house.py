"""Owns a server to try rights on: bootstrapped, at head, with two people who each own something.

Everything is done as a team does it: `shippyard bootstrap`'s own steps, then plain Alembic as the
migrator. What is true of it is for the proofs and tests to say.
"""

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from shippyard.config.models import Config
from shippyard.host.process import Processes
from shippyard.postgres.embedded import SUPERUSER, EmbeddedCluster, embedded_cluster
from shippyard.postgres.target import Target
from shippyard.postgres.tools import Tools
from shippyard.setup.bootstrap.applying import apply
from shippyard.setup.bootstrap.model import Plan
from shippyard.setup.schema import MIGRATIONS, url_of

DBNAME = "shippyar_dev"
MIGRATE_TIMEOUT_S = 300.0
CONTENT = Path(__file__).with_name("house.sql").read_text()

# In house.sql; `anna` is who the application works for, `bo` the other one.
ANNA, BO = "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"
OLGA = "olga"
"""A person of the back office: a member of shippyar_admin, as docs/access.md makes one."""

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True)
class House:
    """A running server and the configuration it was made by."""

    cluster: EmbeddedCluster
    tools: Tools
    config: Config
    processes: Processes

    def target(self, user: str) -> Target:
        """Its database, as a role."""
        return self.cluster.target(DBNAME, user)

    @contextlib.contextmanager
    def session(self, user: str = SUPERUSER, *, person: str | None = None) -> Iterator[Connection]:
        """A transaction as a role, for a person where one is named; nothing of it stays."""
        connection = psycopg.connect(**self.target(user).conninfo())
        with contextlib.closing(connection):
            if person:
                connection.execute("SELECT set_config('app.user_id', %s, true)", [person])
            yield connection
            connection.rollback()

    def run(self, *statements: str, user: str = SUPERUSER) -> None:
        """Statements that stay."""
        with psycopg.connect(**self.target(user).conninfo(), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def bootstrap(self) -> Plan:
        """`shippyard bootstrap --apply`; gives what it did and what is still to see."""
        (plan,) = apply(self.config, SUPERUSER)
        return plan

    def migrate(self, tree: Path = MIGRATIONS) -> None:
        """Plain Alembic to head, as the migrator."""
        done = self.processes.run(
            [sys.executable, "-m", "alembic", "-c", str(tree / "alembic.ini"), "upgrade", "head"],
            timeout_s=MIGRATE_TIMEOUT_S,
            env={"SHIPPYAR_DATABASE_URL": url_of(self.target("shippyar_migrator"))},
        )
        assert done.returncode == 0, done.reason()


@contextlib.contextmanager
def empty_house(tools: Tools, **access: object) -> Iterator[House]:
    """A server with nothing on it, and the configuration of what should be."""
    processes = Processes()
    try:
        with embedded_cluster(tools, processes) as cluster:
            yield House(cluster, tools, config_for(cluster, access), processes)
    finally:
        processes.end_all()


@contextlib.contextmanager
def furnished_house(tools: Tools) -> Iterator[House]:
    """The same, bootstrapped, at head, with Anna's and Bo's things in every table, and Olga."""
    with empty_house(tools) as house:
        house.bootstrap()
        house.migrate()
        house.run(f"CREATE ROLE {OLGA} LOGIN IN ROLE shippyar_admin", CONTENT)
        yield house


def config_for(cluster: EmbeddedCluster, access: dict[str, object]) -> Config:
    """A configuration with every login there is, none of which has a password."""
    return Config.model_validate(
        {
            "environment": "testing",
            "daemon": {"state_dir": cluster.data_dir},
            "databases": [
                {
                    "name": "shippyar",
                    "dbname": DBNAME,
                    "host": str(cluster.socket_dir),
                    "monitor": {"user": "shippyard_monitor"},
                    "backup": {"user": "backup_user"},
                    "migrator": {"user": "shippyar_migrator"},
                }
            ],
            "backup": {
                "dir": cluster.data_dir,
                "clusters": {
                    "main": {
                        "replication": {"user": "shippyard_replication"},
                        "canary": {"user": "shippyard_canary"},
                    }
                },
            },
            "access": access,
        }
    )
