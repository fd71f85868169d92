"""Owns pile-ups of sessions behind locks, whose roots and victims are known because we made them.

Waiters are sessions whose statement was sent and is not answered: no thread for each.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg

from shippyard.postgres.embedded import EmbeddedCluster

DATABASE = "pileup"
FORMED_WITHIN_S = 120.0
ENDED_WITHIN_S = 30.0
POLL_S = 0.1
SPARE_CONNECTIONS = 60
PREPARED_PID = 0

SETUP = """
CREATE TABLE stock (id int PRIMARY KEY, n int NOT NULL);
INSERT INTO stock SELECT n, 0 FROM generate_series(1, 1000) AS n;
"""
# Each looks for a deadlock once, deadlock_timeout after it began to wait, and holds up the others.
WAITING_SQL = """
SELECT count(DISTINCT pid) FROM pg_locks
WHERE NOT granted AND waitstart < clock_timestamp() - interval '2 seconds'
"""
CALM_S = 0.05
END_SQL = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE application_name = 'crew'
"""

Connection = psycopg.Connection[Any]


@dataclass(frozen=True)
class Pileup:
    """What stands: how many wait for each root, of those that wait for nobody."""

    name: str
    victims: Mapping[int, int]


class Crew:
    """Sessions on one server, which are all let go together."""

    def __init__(self, cluster: EmbeddedCluster, watcher: Connection) -> None:
        self._cluster = cluster
        self._watcher = watcher
        self._sessions: list[Connection] = []
        self._waiting = 0

    def holder(self, *statements: str) -> int:
        """A session that has run these and sits in its transaction; gives its pid."""
        session = self._session()
        session.execute("BEGIN")
        for statement in statements:
            session.execute(statement.encode())
        return session.info.backend_pid

    def waiter(self, statement: str) -> int:
        """A session that asks for what it does not get; gives its pid, before it waits."""
        session = self._session()
        session.pgconn.send_query(statement.encode())
        session.pgconn.flush()
        self._waiting += 1
        return session.info.backend_pid

    def settle(self) -> None:
        """Wait until everybody waits, and the server is calm again.

        Raises:
            TimeoutError: not everybody did in time.
        """
        self._until(self._waits_calmly, FORMED_WITHIN_S, "waiting")

    def disband(self) -> None:
        """End every session, and wait until they are gone."""
        self._until(lambda: not self._count(END_SQL), ENDED_WITHIN_S, "gone")
        for session in self._sessions:
            with contextlib.suppress(psycopg.Error):
                session.close()
        self._sessions.clear()

    def _waits_calmly(self) -> bool:
        begun = time.monotonic()
        return self._count(WAITING_SQL) >= self._waiting and time.monotonic() - begun < CALM_S

    def _session(self) -> Connection:
        target = self._cluster.target(DATABASE)
        session = psycopg.connect(**target.conninfo(), autocommit=True, application_name="crew")
        self._sessions.append(session)
        return session

    def _count(self, sql: str) -> int:
        row = self._watcher.execute(sql.encode()).fetchone()
        return int(row[0]) if row else 0

    def _until(self, done: Callable[[], bool], limit_s: float, what: str) -> None:
        deadline = time.monotonic() + limit_s
        while not done():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self._waiting} sessions: not all {what} in {limit_s:g} s")
            time.sleep(POLL_S)


def hot_row(crew: Crew, waiters: int) -> Mapping[int, int]:
    """Everybody wants one row."""
    root = crew.holder("UPDATE stock SET n = n + 1 WHERE id = 1")
    for _ in range(waiters):
        crew.waiter("UPDATE stock SET n = n + 1 WHERE id = 1")
    return {root: waiters}


def ddl_queue(crew: Crew, waiters: int) -> Mapping[int, int]:
    """A reader idles, DDL waits for it, and everybody else waits behind the DDL."""
    root = crew.holder("SELECT count(*) FROM stock")
    crew.waiter("ALTER TABLE stock ADD COLUMN m int")
    crew.settle()
    for _ in range(waiters - 1):
        crew.waiter("SELECT count(*) FROM stock")
    return {root: waiters}


def advisory(crew: Crew, waiters: int) -> Mapping[int, int]:
    """An advisory lock, as job queues take it."""
    root = crew.holder("SELECT pg_advisory_xact_lock(42)")
    for _ in range(waiters):
        crew.waiter("SELECT pg_advisory_lock(42)")
    return {root: waiters}


def pairs(crew: Crew, waiters: int) -> Mapping[int, int]:
    """Half hold a row each, half want one each."""
    roots = {}
    for number in range(1, waiters // 2 + 1):
        change = f"UPDATE stock SET n = n + 1 WHERE id = {number}"
        roots[crew.holder(change)] = 1
        crew.waiter(change)
    return roots


def prepared(crew: Crew, waiters: int) -> Mapping[int, int]:
    """A transaction that was prepared and forgotten: no session is to blame."""
    crew.holder("UPDATE stock SET n = n + 1 WHERE id = 1", "PREPARE TRANSACTION 'forgotten'")
    for _ in range(waiters):
        crew.waiter("UPDATE stock SET n = n + 1 WHERE id = 1")
    return {PREPARED_PID: waiters}


KINDS: Mapping[str, Callable[[Crew, int], Mapping[int, int]]] = {
    "hot row": hot_row,
    "DDL queue": ddl_queue,
    "advisory": advisory,
    "pairs": pairs,
    "prepared": prepared,
}


def settings(waiters: int) -> dict[str, str]:
    """What the server needs for it."""
    return {
        "max_connections": str(waiters + SPARE_CONNECTIONS),
        "max_prepared_transactions": "4",
    }


def set_up(cluster: EmbeddedCluster) -> None:
    """The database that they meet in."""
    with psycopg.connect(**cluster.target().conninfo(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {DATABASE}".encode())
    with psycopg.connect(**cluster.target(DATABASE).conninfo(), autocommit=True) as connection:
        connection.execute(SETUP.encode())


@contextlib.contextmanager
def pileup(
    cluster: EmbeddedCluster, watcher: Connection, kind: str, waiters: int
) -> Iterator[Pileup]:
    """One that stands for the length of a block."""
    crew = Crew(cluster, watcher)
    try:
        victims = KINDS[kind](crew, waiters)
        crew.settle()
        yield Pileup(kind, victims)
    finally:
        crew.disband()
        # Locks of a prepared transaction outlive its session.
        for (gid,) in watcher.execute("SELECT gid FROM pg_prepared_xacts").fetchall():
            watcher.execute(f"ROLLBACK PREPARED '{gid}'".encode())
