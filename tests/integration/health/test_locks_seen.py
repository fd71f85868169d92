"""Locks, queued DDL and what is under way, on a real server."""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
import pytest

from shippyard.config.models import Health
from shippyard.health.loader import load_checks
from shippyard.health.model import Row
from shippyard.postgres.session import session
from shippyard.postgres.target import Target
from tests.conftest import Eventually
from tests.integration.health.conftest import connect, watcher_of

CHECKS = {check.name: check for check in load_checks(Health())}


def ask(target: Target, name: str) -> Sequence[Row]:
    """What the monitor is told."""
    check = CHECKS[name]
    with session(watcher_of(target), "test") as opened:
        return opened.query(
            check.sql_for(opened.server_version), check.params, timeout_s=check.timeout_s
        )


@contextlib.contextmanager
def waiting(target: Target, statement: str) -> Iterator[None]:
    """Somebody who says this, and gets no answer before the block ends."""
    with connect(target) as client:
        thread = threading.Thread(target=_say, args=(client, statement))
        thread.start()
        try:
            yield
        finally:
            client.cancel_safe()
            thread.join(10)


def _say(client: "psycopg.Connection[Any]", statement: str) -> None:
    with contextlib.suppress(psycopg.Error):
        client.execute(statement.encode())


@pytest.fixture
def held(fresh_database: Target) -> Iterator[Target]:
    """A database where somebody has changed a row and not said the last word."""
    with connect(fresh_database) as holder:
        holder.execute("CREATE TABLE stock (id int PRIMARY KEY, n int)")
        holder.execute("INSERT INTO stock VALUES (1, 0)")
        holder.execute("BEGIN")
        holder.execute("UPDATE stock SET n = 1")
        yield fresh_database


def test_nobody_waits(fresh_database: Target) -> None:
    (roots,) = ask(fresh_database, "blocking_roots")
    assert set(roots.values()) == {0}
    (queue,) = ask(fresh_database, "ddl_queue")
    assert set(queue.values()) == {0}


def test_a_root_is_seen_with_those_who_wait_through_others(
    held: Target, eventually: Eventually
) -> None:
    with waiting(held, "ALTER TABLE stock ADD COLUMN more int"):
        eventually(lambda: ask(held, "ddl_queue")[0]["tables"])
        with waiting(held, "SELECT * FROM stock"), waiting(held, "SELECT n FROM stock"):
            eventually(lambda: ask(held, "ddl_queue")[0]["behind"] == 2)
            (queue,) = ask(held, "ddl_queue")
            (roots,) = ask(held, "blocking_roots")
            locks = ask(held, "locks_by_mode")
    assert (queue["tables"], queue["ddl"], queue["behind"]) == (1, 1, 2)
    assert queue["wait_s"] > 0
    assert (roots["roots"], roots["most_victims"]) == (1, 3)
    assert roots["oldest_root_s"] >= roots["longest_wait_s"] > 0
    wanted = {(row["mode"], row["n"]) for row in locks if row["state"] == "waiting"}
    assert wanted == {("AccessExclusiveLock", 1), ("AccessShareLock", 2)}


def test_a_row_that_is_waited_for_is_no_ddl(held: Target, eventually: Eventually) -> None:
    with waiting(held, "DELETE FROM stock"), waiting(held, "SELECT * FROM stock FOR UPDATE"):
        eventually(lambda: ask(held, "blocking_roots")[0]["most_victims"] == 2)
        (queue,) = ask(held, "ddl_queue")
    assert set(queue.values()) == {0}


def test_a_build_is_seen_while_it_is_under_way(held: Target, eventually: Eventually) -> None:
    with waiting(held, "CREATE INDEX CONCURRENTLY ix_n ON stock (n)"):
        (build,) = eventually(lambda: ask(held, "progress_ddl"))
        # It is not an INVALID index that somebody left behind.
        assert ask(held, "indexes_invalid") == []
    assert (build["op"], build["datname"], build["n"]) == ("create_index", held.dbname, 1)
    assert build["age_s"] > 0
