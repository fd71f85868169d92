"""What was written since a run is found, a moment before its tables go back too."""

import threading
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from shippyard.migration.journal import Run
from shippyard.migration.plan import Plan, Rendered, Revision
from shippyard.migration.rehearsal.report import Passage, Recorded, Report
from shippyard.migration.undo import Undo, plan_undo
from shippyard.migration.undo_guard import WouldLose, refuse_losses
from shippyard.postgres.target import Target

NOW = datetime(2026, 3, 4, tzinfo=UTC)
UP = (
    "ALTER TABLE people ADD COLUMN tier text; UPDATE people SET tier = lower(name);"
    "CREATE TABLE tags (id int PRIMARY KEY, name text)"
)
DOWN = "DROP TABLE tags; ALTER TABLE people DROP COLUMN tier"
PLAN = Plan(
    "shop", "001", "002", ("002",), (Revision("002", ("001",), (), "f", "", reversible=True),), {},
    {"002": Rendered(UP)}, {"002": Rendered(DOWN)},
)  # fmt: skip
RUN = Run(
    "r1", "shop", "001", "002", "done", "ana", "hash", None, "up", None, "b1", NOW, NOW, None, {}
)
REPORT = Report(
    "h1", "shop", "hash", "001", "002", "f", "s", "b1", "t", NOW, NOW, "passed", None,
    (Passage("up", Recorded()), Passage("down", Recorded()), Passage("again", Recorded())),
    (), (), (), {}, 0, (), {},
)  # fmt: skip


@pytest.fixture
def shop(fresh_database: Target) -> Target:
    with psycopg.connect(**fresh_database.conninfo(), autocommit=True) as opened:
        opened.execute(
            "CREATE TABLE people (id int PRIMARY KEY, name text);"
            "INSERT INTO people SELECT n, 'N' || n FROM generate_series(1, 50) AS n;"
            "CREATE TABLE alembic_version (version_num varchar(32));"
            "INSERT INTO alembic_version VALUES ('002')"
        )
    return fresh_database


def run_done(shop: Target) -> Run:
    """The run as it was, with what it wrote."""
    with psycopg.connect(**shop.conninfo()) as opened:
        opened.execute(UP.encode())
        xid = opened.execute("SELECT pg_current_xact_id()::xid::text").fetchone()
    assert xid is not None
    wrote = {"event": "wrote", "revision": "002", "xid": xid[0], "tables": {}}
    return replace(RUN, detail={"steps": [wrote]})


def undo_after(shop: Target, since: str, report: Report | None = REPORT) -> Undo:
    run = run_done(shop)
    with psycopg.connect(**shop.conninfo(), autocommit=True) as opened:
        opened.execute(since.encode())
    return plan_undo(run, report, shop, plan=PLAN)


@pytest.mark.parametrize(
    "since",
    [
        "SELECT 1",
        "UPDATE people SET tier = NULL WHERE id = 3",
        "INSERT INTO people VALUES (99, 'New')",
        "UPDATE people SET name = 'X', tier = 'x' WHERE id = 4",
    ],
)
def test_nothing_is_lost_that_can_be_made_again(shop: Target, since: str) -> None:
    undo = undo_after(shop, since)
    assert undo.verdict.allowed, undo.verdict.why
    assert [(step.revision, step.down) for step in undo.steps] == [("002", "001")]


@pytest.mark.parametrize(
    ("since", "why"),
    [
        ("UPDATE people SET tier = 'gold' WHERE id = 3", "public.people.tier has values"),
        ("INSERT INTO people VALUES (99, 'New', 'gold')", "public.people.tier has values"),
        ("INSERT INTO tags VALUES (1, 'a')", "public.tags has rows"),
        ("DROP TABLE tags", "there is no table of that name"),
    ],
)
def test_what_is_new_forbids(shop: Target, since: str, why: str) -> None:
    undo = undo_after(shop, since)
    assert not undo.verdict.allowed
    assert why in undo.verdict.why
    assert undo.document()["next_best"][1]["kind"] == "restore"


def test_without_a_rehearsal_nothing_goes_back(shop: Target) -> None:
    assert "no rehearsal" in undo_after(shop, "SELECT 1", None).verdict.why


def go_back(shop: Target, undo: Undo) -> None:
    """As a runner does: the questions come again where the transaction begins."""
    url = sa.URL.create("postgresql+psycopg")
    engine = sa.create_engine(url, creator=lambda: psycopg.connect(**shop.conninfo()))
    refuse_losses(engine, undo.guards)
    try:
        with engine.connect() as connection, connection.begin():
            connection.exec_driver_sql(DOWN)
    finally:
        engine.dispose()


def test_what_is_written_between_the_two_looks_is_found(shop: Target) -> None:
    undo = undo_after(shop, "SELECT 1")
    assert undo.verdict.allowed
    with psycopg.connect(**shop.conninfo(), autocommit=True) as opened:
        opened.execute("UPDATE people SET tier = 'gold' WHERE id = 3")
        with pytest.raises(WouldLose, match=r"public\.people\.tier"):
            go_back(shop, undo)
        assert opened.execute("SELECT tier FROM people WHERE id = 3").fetchone() == ("gold",)


def test_a_write_under_way_is_waited_for_and_found(shop: Target, eventually: Any) -> None:
    undo = undo_after(shop, "SELECT 1")
    errors: list[BaseException] = []

    def back() -> None:
        try:
            go_back(shop, undo)
        except WouldLose as error:
            errors.append(error)

    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND database = %s::oid"
    with psycopg.connect(**shop.conninfo(), autocommit=True) as watch:
        (oid,) = watch.execute(
            "SELECT oid FROM pg_database WHERE datname = current_database()"
        ).fetchone() or (0,)
        with psycopg.connect(**shop.conninfo()) as writer:
            writer.execute("UPDATE people SET tier = 'gold' WHERE id = 3")
            thread = threading.Thread(target=back, daemon=True)
            thread.start()
            eventually(lambda: (watch.execute(waits, [oid]).fetchone() or (0,))[0] > 0)
            writer.commit()
        thread.join(10.0)
    assert len(errors) == 1


def test_nothing_new_goes_back(shop: Target) -> None:
    undo = undo_after(shop, "SELECT 1")
    go_back(shop, undo)
    with psycopg.connect(**shop.conninfo(), autocommit=True) as opened:
        assert opened.execute("SELECT to_regclass('tags')").fetchone() == (None,)
