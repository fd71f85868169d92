"""Owns a crowded server: tables, indexes and sessions in numbers. Knows nothing of who watches."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from shippyard.host.process import Processes
from shippyard.postgres.embedded import EmbeddedCluster
from shippyard.postgres.target import Target
from shippyard.postgres.tools import server_tools

DATABASE = "crowd"
APPLICATIONS = 10
SPARE_CONNECTIONS = 60
TABLES_AT_ONCE = 50
INDEXES_MAX = 4
WAITS_S = 30.0


@dataclass(frozen=True)
class Crowd:
    """How many of each there are. Every table has a primary key, which is an index too."""

    tables: int = 2000
    indexes: int = 5000
    sessions: int = 500


@contextmanager
def crowd(folder: Path, processes: Processes, size: Crowd) -> Iterator[EmbeddedCluster]:
    """The server with everybody on it, gone at the end."""
    settings = {
        "max_connections": str(size.sessions + SPARE_CONNECTIONS),
        "shared_preload_libraries": "pg_stat_statements",
        "max_locks_per_transaction": "256",
    }
    cluster = EmbeddedCluster(folder, server_tools(processes), processes, settings)
    with ExitStack() as undo:
        undo.callback(cluster.destroy)
        cluster.create()
        cluster.start()
        with connect(cluster.target()) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        _fill(cluster.target(DATABASE), size)
        for number in range(size.sessions):
            undo.enter_context(_session(cluster, number))
        yield cluster


def watcher(cluster: EmbeddedCluster, name: str) -> Target:
    """A login of its own for one who watches, with the rights that are asked for on its manual."""
    with connect(cluster.target(DATABASE)) as connection:
        role = sql.Identifier(name)
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN IN ROLE pg_monitor").format(role))
        connection.execute(
            sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}").format(role)
        )
    return cluster.target(DATABASE, name)


def connect(target: Target, name: str = "bench") -> psycopg.Connection[Any]:
    """A session that commits by itself."""
    return psycopg.connect(**target.conninfo(), autocommit=True, application_name=name)


def _fill(target: Target, size: Crowd) -> None:
    with connect(target) as connection:
        connection.execute("CREATE EXTENSION pg_stat_statements")
        more = _more_indexes(size)
        for first in range(0, size.tables, TABLES_AT_ONCE):
            numbers = range(first, min(first + TABLES_AT_ONCE, size.tables))
            connection.execute(";".join(_table(n, more[n]) for n in numbers).encode())
        connection.execute("ANALYZE")


def _more_indexes(size: Crowd) -> list[int]:
    """How many indexes each table has beside its key."""
    each, over = divmod(max(0, size.indexes - size.tables), size.tables)
    return [min(INDEXES_MAX, each + (number < over)) for number in range(size.tables)]


def _table(number: int, indexes: int) -> str:
    """Some rows in each, so that there is something to estimate."""
    name = f"t{number}"
    return ";".join(
        [
            f"CREATE TABLE {name} (id int PRIMARY KEY, c0 int, c1 int, c2 text, c3 int)",
            *(f"CREATE INDEX {name}_c{n} ON {name} (c{n})" for n in range(indexes)),
            f"INSERT INTO {name} SELECT n, n, n, 'text', n FROM generate_series(1, 20) AS n",
        ]
    )


def _session(cluster: EmbeddedCluster, number: int) -> psycopg.Connection[Any]:
    """One of the application's: it has asked something, and waits for its next user."""
    opened = connect(cluster.target(DATABASE), f"application-{number % APPLICATIONS}")
    opened.execute(f"SELECT count(*) FROM t{number % TABLES_AT_ONCE}".encode())
    return opened
