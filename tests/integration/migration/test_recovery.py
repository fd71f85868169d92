"""What a dead run left is ended, found and swept; what is another's is left alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from shippyard.host.clock import SystemClock
from shippyard.migration.journal import Run
from shippyard.migration.leftovers import Built, look_for, sweep, sweep_of
from shippyard.migration.plan import Plan, Rendered
from shippyard.migration.recovery import (
    applied_of,
    begun_of,
    half_applied_of,
    names_of,
    recover,
)
from shippyard.postgres.target import Target

NOW = datetime(2026, 3, 4, tzinfo=UTC)
STARTED = {"event": "revision_started", "revision": "002", "attempt": 1}


def run_with(*steps: dict[str, Any], run_id: str = "20260304T050607Z-shop-0a1b2c3d") -> Run:
    detail = {"steps": [{"event": "locked"}, *steps]}
    return Run(
        run_id, "shop", "001", "002", "interrupted", "ana", "h", None, "up", None, None, NOW, None,
        None, detail,
    )  # fmt: skip


@contextmanager
def session_called(target: Target, name: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(**target.conninfo(), application_name=name, autocommit=True) as opened:
        yield opened


@pytest.fixture
def shop(fresh_database: Target) -> Target:
    with psycopg.connect(**fresh_database.conninfo(), autocommit=True) as opened:
        opened.execute(
            "CREATE TABLE parcels (id int PRIMARY KEY, weight int);"
            "INSERT INTO parcels SELECT n, n % 5 FROM generate_series(1, 100) AS n;"
            "CREATE TABLE alembic_version (version_num varchar(32));"
            "INSERT INTO alembic_version VALUES ('001')"
        )
    return fresh_database


def make_invalid(target: Target, name: str) -> None:
    """A unique build over rows that are not."""
    with psycopg.connect(**target.conninfo(), autocommit=True) as opened:
        with pytest.raises(psycopg.errors.UniqueViolation):
            opened.execute(f"CREATE UNIQUE INDEX CONCURRENTLY {name} ON parcels (weight)".encode())


def test_sessions_of_the_run_are_ended_and_no_others(shop: Target) -> None:
    run = run_with(STARTED)
    locker, worker = names_of(run.id)[1], names_of(run.id)[0]
    other = "shippyard:migrate:another-run"
    with session_called(shop, locker) as lock, session_called(shop, worker) as work:
        with session_called(shop, other) as stays, session_called(shop, "app") as holder:
            holder.execute("BEGIN; SELECT * FROM parcels")
            work.execute("BEGIN; UPDATE parcels SET weight = 0")
            found = recover(run, shop)
            assert stays.execute("SELECT 1").fetchone() == (1,)
        for gone in (lock, work):
            with pytest.raises(psycopg.OperationalError):
                gone.execute("SELECT 1")
    assert (len(found.ended), found.still_there) == (2, ())
    assert (found.at, found.begun, found.half_applied) == ("001", "002", None)
    assert "ended 2 session(s)" in found.said


def test_a_long_name_is_found_as_the_server_cuts_it(shop: Target) -> None:
    run = run_with(run_id="20260304T050607Z-" + "x" * 60)
    with session_called(shop, f"shippyard:migrate:{run.id}"):
        assert len(recover(run, shop, clock=SystemClock()).ended) == 1


def test_leftovers_of_the_plan_are_swept_and_the_others_said(shop: Target) -> None:
    for name in ("ours", "theirs", "towns_ccnew"):
        make_invalid(shop, name)
    built = Built({"ours": False}, reindexed=frozenset({"towns"}))
    todo = sweep_of(look_for(shop, built), built)
    assert [each.bare for each in todo.drop] == ["ours", "towns_ccnew"]
    assert "DROP INDEX CONCURRENTLY public.theirs" in todo.said[-1]
    sweep(shop, todo.drop)
    assert [each.name for each in recover(run_with(), shop).leftovers] == ["public.theirs"]


def test_a_finished_build_is_kept_only_for_a_step_that_compares(shop: Target) -> None:
    with session_called(shop, "x") as opened:
        opened.execute("CREATE INDEX ours ON parcels (weight)")
    for looks_first in (True, False):
        built = Built({"ours": looks_first})
        todo = sweep_of(look_for(shop, built), built)
        assert (len(todo.adopt), len(todo.drop)) == (looks_first, not looks_first)


def test_what_was_begun_and_what_stays() -> None:
    done = {"event": "revision_done", "revision": "002"}
    assert begun_of([STARTED], "001", "up") == "002"
    assert begun_of([STARTED], "002", "up") is None
    assert begun_of([STARTED], "002", "down") == "002"
    assert begun_of([STARTED, done], "002", "up") is None
    assert applied_of([STARTED], "002") == ("002",)
    assert applied_of([STARTED], "001") == ()


@pytest.mark.parametrize(
    ("sql", "stays"),
    [
        (
            "BEGIN; ALTER TABLE a ADD b int; UPDATE alembic_version SET version_num='2'; COMMIT",
            False,
        ),
        ("BEGIN; COMMIT; CREATE INDEX CONCURRENTLY i ON a (b); BEGIN; SELECT 1; COMMIT", None),
    ],
)
def test_only_one_transaction_proves_that_nothing_stays(sql: str, stays: Any) -> None:
    plan = Plan("shop", "001", "002", ("002",), (), {}, {"002": Rendered(sql)})
    assert half_applied_of([STARTED], "002", plan) is stays
    told = {"event": "autocommit", "revision": "002"}
    assert half_applied_of([STARTED, told], "002", plan) is True
