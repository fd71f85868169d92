"""Sessions of a dead daemon's backups are ended; those of anybody else are not."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import psycopg
import pytest
from structlog.testing import capture_logs

from shippyard.backup.layout import Layout
from shippyard.backup.orphans import Orphans, Place
from shippyard.postgres.locks import backup_key, locks
from shippyard.postgres.target import Target
from tests.conftest import Eventually
from tests.integration.backup.conftest import MakeYard, execute


@contextmanager
def session_called(target: Target, name: str) -> Iterator[psycopg.Connection[tuple[int]]]:
    with psycopg.connect(**target.conninfo(), application_name=name) as connection:
        yield connection


def is_gone(connection: psycopg.Connection[tuple[int]]) -> bool:
    try:
        connection.execute("SELECT 1")
    except psycopg.Error:
        return True
    return False


@pytest.fixture
def layout(make_yard: MakeYard) -> Layout:
    return Layout(make_yard().root)


def test_ours_are_ended_and_others_are_not(
    fresh_database: Target, layout: Layout, cluster: object
) -> None:
    layout.prepare("shop")
    execute(fresh_database, "DROP ROLE IF EXISTS somebody", "CREATE ROLE somebody LOGIN")
    somebody = replace(fresh_database, user="somebody")
    elsewhere = replace(fresh_database, dbname="postgres")
    with (
        session_called(fresh_database, "shippyard:backup") as orphan,
        session_called(fresh_database, "shippyard:backup:digest") as second,
        session_called(fresh_database, "shippyard:backup-lock:other") as lock,
        session_called(fresh_database, "psql") as person,
        session_called(somebody, "shippyard:backup") as other_role,
        session_called(elsewhere, "shippyard:backup") as other_database,
        capture_logs() as logs,
    ):
        pids = {each.info.backend_pid for each in (orphan, second)}
        orphans = Orphans(layout, [Place("shop", fresh_database)])
        orphans.look()
        assert orphans.pending == frozenset()
        assert is_gone(orphan)
        assert is_gone(second)
        for alive in (lock, person, other_role, other_database):
            assert not is_gone(alive)
    ended = [line for line in logs if line["event"] == "backup.orphan_ended"]
    assert {line["pid"] for line in ended} == pids
    execute(fresh_database, "DROP ROLE somebody")


def test_while_somebody_makes_one_nothing_is_ended(fresh_database: Target, layout: Layout) -> None:
    layout.prepare("shop")
    orphans = Orphans(layout, [Place("shop", fresh_database)])
    with (
        session_called(fresh_database, "shippyard:backup") as working,
        locks(fresh_database, "backup-lock:x") as held,
    ):
        held.take(backup_key("shop", "schema"))
        orphans.look()
        assert orphans.pending == {"shop"}
        assert not is_gone(working)


def test_a_server_that_is_away_is_said_once_and_asked_again(
    fresh_database: Target, layout: Layout, eventually: Eventually
) -> None:
    away = replace(fresh_database, host="/nowhere")
    orphans = Orphans(layout, [Place("shop", away)], retry_s=0.02)
    with capture_logs() as logs:
        orphans.stop()
        orphans.start()
        orphans.stop()
        second = Orphans(layout, [Place("shop", away)], retry_s=0.02)
        second.start()
        eventually(lambda: logs)
        assert second.pending == {"shop"}
        second._pending["shop"] = Place("shop", fresh_database)
        eventually(lambda: not second.pending)
        second.stop()
        second.stop()
    unseen = [line for line in logs if line["event"] == "backup.orphans_unseen"]
    assert len(unseen) == 1
    assert "/nowhere" in unseen[0]["reason"]
