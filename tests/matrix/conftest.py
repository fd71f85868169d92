"""A server of each major and its standby: an application's schema, DDL left open, three logins."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from proofs.backup.shelf import servers
from shippyard.host.accounts import account_for_postgres
from shippyard.host.process import Processes
from shippyard.postgres.embedded import EmbeddedCluster, readable_tools
from shippyard.postgres.target import Target
from shippyard.postgres.tools import Tools

MAJORS = (15, 17, 18)
SHOP, EMPTY = "shop", "empty"
SETTINGS = {"shared_preload_libraries": "pg_stat_statements", "max_prepared_transactions": "4"}

LOGINS = {"public": "may_connect", "pg_monitor": "monitors", "select": "selects"}
"""A login with exactly what each `role` of a check says, and nothing more."""

ROLES = """
    CREATE ROLE may_connect LOGIN;
    CREATE ROLE monitors LOGIN IN ROLE pg_monitor;
    ALTER ROLE monitors SET row_security = off;
    CREATE ROLE selects LOGIN IN ROLE pg_monitor
"""
# Away from where anybody would look for it.
EXTENSION = """
    CREATE SCHEMA tools;
    GRANT USAGE ON SCHEMA tools TO PUBLIC;
    CREATE EXTENSION pg_stat_statements SCHEMA tools;
"""
SCHEMA = """
    CREATE TABLE orders (id serial PRIMARY KEY, small int GENERATED ALWAYS AS IDENTITY, note text);
    CREATE TABLE guarded (id bigserial PRIMARY KEY, note text);
    CREATE TABLE altered (id serial PRIMARY KEY, note text);
    CREATE UNLOGGED TABLE passing (id serial PRIMARY KEY);
    CREATE INDEX once ON orders (note);
    CREATE INDEX twice ON orders (note);
    INSERT INTO orders (note) SELECT repeat('note', 50) FROM generate_series(1, 40000);
    INSERT INTO guarded (note) SELECT repeat('note', 50) FROM generate_series(1, 40000);
    INSERT INTO altered (note) VALUES ('note');
    DELETE FROM orders WHERE id > 10000;
    ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
    ALTER TABLE guarded FORCE ROW LEVEL SECURITY;
    CREATE POLICY nobody ON guarded USING (false);
    GRANT SELECT ON ALL TABLES IN SCHEMA public TO selects;
    GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO selects;
    SELECT setval('orders_id_seq', 2000000000);
    ANALYZE
"""
LEFT_OPEN = (
    "BEGIN",
    "ALTER TABLE altered ALTER COLUMN id TYPE bigint",
    "ALTER SEQUENCE altered_id_seq AS bigint",
)


@dataclass(frozen=True)
class World:
    """A primary and its standby; `major` is theirs."""

    major: int
    primary: EmbeddedCluster
    standby: EmbeddedCluster

    def place(self, name: str, role: str) -> Target:
        """Where a question is asked: `shop`, `empty` or `standby`, by the login of a role."""
        cluster = self.standby if name == "standby" else self.primary
        return cluster.target(EMPTY if name == EMPTY else SHOP, LOGINS[role])


@pytest.fixture(scope="session")
def installed(processes: Processes) -> Mapping[int, Tools]:
    """What this machine has; `make matrix` brings the newest."""
    return servers(processes)


@pytest.fixture(scope="session", params=MAJORS, ids="postgresql-{}".format)
def world(
    request: pytest.FixtureRequest, processes: Processes, installed: Mapping[int, Tools]
) -> Iterator[World]:
    """Everything at its place, with one ALTER TABLE that nobody commits."""
    if request.param not in installed:
        pytest.skip(f"no PostgreSQL {request.param} server here; run `make matrix`")
    with contextlib.ExitStack() as undo:
        folder = undo.enter_context(tempfile.TemporaryDirectory(prefix="shippyard-matrix-"))
        Path(folder).chmod(0o755)
        account = account_for_postgres()
        tools = installed[request.param]
        tools = readable_tools(tools, Path(folder), account) if account else tools
        primary, standby = (
            EmbeddedCluster(Path(folder) / name, tools, processes, SETTINGS)
            for name in ("primary", "standby")
        )
        undo.callback(primary.destroy)
        primary.create()
        primary.start()
        _furnish(primary)
        undo.callback(standby.destroy)
        _copy(primary, standby, account)
        standby.start()
        holder = undo.enter_context(_session(primary.target(SHOP)))
        for statement in LEFT_OPEN:
            holder.execute(statement.encode())
        yield World(request.param, primary, standby)


def _furnish(primary: EmbeddedCluster) -> None:
    with _session(primary.target()) as admin:
        admin.execute(ROLES)
        for name in (SHOP, EMPTY):
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    for name, statements in ((SHOP, EXTENSION + SCHEMA), (EMPTY, EXTENSION)):
        with _session(primary.target(name)) as connection:
            connection.execute(statements.encode())


def _copy(primary: EmbeddedCluster, standby: EmbeddedCluster, account: str | None) -> None:
    """A standby, from the files of a primary that is stopped for the moment."""
    primary.stop()
    standby.socket_dir.mkdir(parents=True)
    shutil.copytree(primary.data_dir, standby.data_dir)
    primary.start()
    with (standby.data_dir / "postgresql.conf").open("a") as file:
        file.write(f"unix_socket_directories = '{standby.socket_dir}'\n")
        file.write(f"primary_conninfo = 'host={primary.socket_dir} user=postgres'\n")
    (standby.data_dir / "standby.signal").touch()
    above = standby.socket_dir.parent
    if account:
        for path in (above, *above.rglob("*")):
            shutil.chown(path, account)


def _session(target: Target) -> psycopg.Connection[Any]:
    return psycopg.connect(**target.conninfo(), autocommit=True)
