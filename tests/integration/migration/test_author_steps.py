"""Steps of authors on a real PostgreSQL: what they leave, what a second try finds."""

import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from alembic import op
from sqlalchemy.exc import DBAPIError

from shippyard.migration import ops
from shippyard.postgres.target import Target
from tests.integration.migration.author_steps import Desk

WEIGHT = "ck_parcels_weight"

INDEX_SQL = """
SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('ix_parcels_weight')
"""
CHECK_SQL = "SELECT convalidated FROM pg_constraint WHERE conname = 'ck_parcels_weight'"
NOT_NULL_SQL = """
SELECT attnotnull FROM pg_attribute
WHERE attrelid = 'parcels'::regclass AND attname = 'weight'
"""
BUILD_WAITS_SQL = """
SELECT count(*) FROM pg_stat_activity
WHERE query LIKE 'CREATE INDEX CONC%' AND wait_event_type = 'Lock'
AND now() - query_start > interval '300 ms'
"""
CONSTRAINTS_SQL = """
SELECT count(*) FROM pg_constraint WHERE conrelid = 'parcels'::regclass AND contype IN ('c', 'f')
"""


@pytest.fixture
def desk(fresh_database: Target) -> Desk:
    made = Desk(fresh_database)
    made.execute(
        "CREATE TABLE places (code text PRIMARY KEY)",
        "CREATE TABLE parcels (id int PRIMARY KEY, weight int, place text, old text)",
        "INSERT INTO places VALUES ('here')",
        "INSERT INTO parcels SELECT n, n, 'here', 'o' || n FROM generate_series(1, 100) n",
    )
    return made


def index() -> None:
    ops.create_index_concurrently("ix_parcels_weight", "parcels", ["weight"])


def unique_index() -> None:
    ops.create_index_concurrently("ix_parcels_weight", "parcels", ["weight"], unique=True)


def check() -> None:
    ops.add_check(WEIGHT, "parcels", "weight > 0 AND old <> '12:30'")


def not_null() -> None:
    ops.add_not_null("parcels", "weight")


def key() -> None:
    ops.add_foreign_key("fk_parcels_place", "parcels", ["place"], "places", ["code"])


def unique() -> None:
    ops.add_unique("uq_parcels_weight", "parcels", ["weight"])


def place_index() -> None:
    ops.create_index_concurrently("ix_parcels_place", "parcels", ["place"])


ALL: tuple[Callable[[], None], ...] = (index, check, not_null, place_index, key, unique)


def test_every_step_can_be_taken_again_and_changes_nothing_then(desk: Desk) -> None:
    for step in ALL:
        desk.take(step)
    before = desk.scalar("SELECT array_agg(oid ORDER BY oid) FROM pg_class") or []
    constraints = desk.scalar("SELECT array_agg(oid ORDER BY oid) FROM pg_constraint")
    for step in ALL:
        desk.take(step)
    assert desk.scalar("SELECT array_agg(oid ORDER BY oid) FROM pg_class") == before
    assert desk.scalar("SELECT array_agg(oid ORDER BY oid) FROM pg_constraint") == constraints
    assert desk.scalar(INDEX_SQL) is True
    assert desk.scalar(CHECK_SQL) is True
    assert desk.scalar(NOT_NULL_SQL) is True


def test_nothing_of_the_way_to_not_null_stays(desk: Desk) -> None:
    desk.take(not_null)
    assert desk.scalar(CONSTRAINTS_SQL) == 0


def test_a_step_is_written_down_without_a_database(desk: Desk) -> None:
    text = "".join(desk.written(step) for step in ALL)
    assert "CREATE INDEX CONCURRENTLY ix_parcels_weight ON parcels USING btree (weight);" in text
    assert "CHECK (weight > 0 AND old <> '12:30') NOT VALID;" in text
    assert "VALIDATE CONSTRAINT ck_parcels_weight;" in text
    assert "ADD CONSTRAINT uq_parcels_weight UNIQUE USING INDEX uq_parcels_weight;" in text


@pytest.mark.parametrize(
    ("name", "condition", "step", "question"),
    [
        (WEIGHT, "weight > 0 AND old <> '12:30'", check, CHECK_SQL),
        ("ck_parcels_weight_not_null", "weight IS NOT NULL", not_null, NOT_NULL_SQL),
    ],
)
def test_a_step_goes_on_where_an_interrupted_one_stopped(
    desk: Desk, name: str, condition: str, step: Callable[[], None], question: str
) -> None:
    desk.execute(f"ALTER TABLE parcels ADD CONSTRAINT {name} CHECK ({condition}) NOT VALID")
    desk.take(step)
    assert desk.scalar(question) is True


def test_an_invalid_index_is_built_again(desk: Desk) -> None:
    with desk.held("UPDATE parcels SET weight = weight WHERE id = 1"), desk.connect() as builder:
        builder.execute("SET statement_timeout = '100ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            builder.execute("CREATE INDEX CONCURRENTLY ix_parcels_weight ON parcels (weight)")
    assert desk.scalar(INDEX_SQL) is False
    desk.take(index)
    assert desk.scalar(INDEX_SQL) is True


def test_rows_that_are_not_unique_leave_no_index(desk: Desk) -> None:
    desk.execute("UPDATE parcels SET weight = 7")
    with pytest.raises(ops.StepRefused, match=r"weight\)=\(7\).*make the rows unique"):
        desk.take(unique_index)
    assert desk.scalar(INDEX_SQL) is None


def test_rows_that_break_a_check_leave_no_check(desk: Desk) -> None:
    desk.execute("UPDATE parcels SET weight = -1 WHERE id = 50")
    with pytest.raises(ops.StepRefused, match="is violated by some row; mend the rows"):
        desk.take(check)
    assert desk.scalar(CONSTRAINTS_SQL) == 0


def test_rows_without_a_value_leave_no_check(desk: Desk) -> None:
    desk.execute("UPDATE parcels SET weight = NULL WHERE id = 50")
    with pytest.raises(ops.StepRefused, match="mend the rows in a revision before"):
        desk.take(not_null)
    assert desk.scalar(CONSTRAINTS_SQL) == 0


def test_rows_that_point_nowhere_leave_no_key(desk: Desk) -> None:
    desk.execute("UPDATE parcels SET place = 'gone' WHERE id = 50")
    desk.take(place_index)
    with pytest.raises(ops.StepRefused, match=r"gone.*mend the rows"):
        desk.take(key)
    assert desk.scalar(CONSTRAINTS_SQL) == 0


def test_a_key_wants_an_index_first(desk: Desk) -> None:
    with pytest.raises(ops.StepRefused, match=r"no index of parcels begins with \(place\)"):
        desk.take(key)


@pytest.mark.parametrize(
    ("there", "step", "said"),
    [
        ("CREATE INDEX ix_parcels_weight ON parcels (weight DESC)", index, "is another one"),
        ("CREATE INDEX ix_parcels_weight ON parcels (weight)", unique_index, "is another one"),
        (f"ALTER TABLE parcels ADD CONSTRAINT {WEIGHT} CHECK (weight > 0)", check, "is there and"),
    ],
)
def test_something_else_of_that_name_is_refused(
    desk: Desk, there: str, step: Callable[[], None], said: str
) -> None:
    desk.execute(there)
    with pytest.raises(ops.StepRefused, match=said):
        desk.take(step)


def test_a_busy_lock_is_asked_for_again_until_it_is_free(desk: Desk) -> None:
    desk.attributes = {"lock_attempts": 100, "retry_pause_s": 0.02}
    tried = threading.Event()
    with desk.held("UPDATE parcels SET weight = 1 WHERE id = 1") as application:

        def give_way_after_a_try() -> None:
            assert tried.wait(10)
            application.rollback()

        waiter = threading.Thread(target=give_way_after_a_try)
        waiter.start()
        with _watched_waiting(desk, tried):
            desk.take(check)
        waiter.join(10)
    assert desk.scalar(CHECK_SQL) is True


def test_a_lock_that_stays_busy_is_given_up(desk: Desk) -> None:
    with desk.held("UPDATE parcels SET weight = 1 WHERE id = 1"):
        with pytest.raises(DBAPIError, match="lock timeout"):
            desk.take(check)
    assert desk.scalar(CONSTRAINTS_SQL) == 0


def test_a_session_without_a_lock_timeout_gets_one(desk: Desk) -> None:
    desk.settings = "-c lock_timeout=0"
    with desk.held("UPDATE parcels SET weight = 1 WHERE id = 1"):
        with pytest.raises(DBAPIError, match="lock timeout"):
            desk.take(check)


def test_an_index_is_built_although_locks_are_given_up_quickly(desk: Desk, eventually: Any) -> None:
    """It has to wait for an old transaction longer than lock_timeout, and ends valid."""
    with desk.held("UPDATE parcels SET weight = 1 WHERE id = 1") as application:
        builder = threading.Thread(target=desk.take, args=[index])
        builder.start()
        eventually(lambda: desk.scalar(BUILD_WAITS_SQL))
        application.commit()
        builder.join(10)
    assert desk.scalar(INDEX_SQL) is True


def test_settings_are_as_before_after_a_step(desk: Desk) -> None:
    seen: list[str] = []

    def step() -> None:
        index()
        row = op.get_bind().exec_driver_sql("SHOW lock_timeout").scalar_one()
        seen.append(str(row))

    desk.take(step)
    assert seen == ["100ms"]


def test_a_name_that_would_be_cut_off_is_refused(desk: Desk) -> None:
    with pytest.raises(ops.StepRefused, match="over 63 bytes"):
        desk.take(lambda: ops.add_check("c" * 64, "parcels", "weight > 0"))


def test_columns_are_kept_in_step_both_ways(desk: Desk) -> None:
    desk.execute("ALTER TABLE parcels ADD COLUMN new text")
    desk.take(lambda: ops.dual_write("parcels", "old", "new", to_new="upper({})"))
    desk.take(lambda: ops.dual_write("parcels", "old", "new", to_new="upper({})"))  # again
    cases = {
        "INSERT INTO parcels (id, old) VALUES (201, 'a')": ("a", "A"),
        "INSERT INTO parcels (id, new) VALUES (201, 'b')": ("b", "b"),
        "INSERT INTO parcels (id, old, new) VALUES (201, 'c', 'd')": ("c", "d"),
        "UPDATE parcels SET old = 'e' WHERE id = 1": ("e", "E"),
        "UPDATE parcels SET new = 'f' WHERE id = 1": ("f", "f"),
        "UPDATE parcels SET old = 'g', new = 'h' WHERE id = 1": ("g", "h"),
        "UPDATE parcels SET old = NULL, new = new WHERE id = 1": (None, None),
        "UPDATE parcels SET weight = 5 WHERE id = 1": ("o1", None),
    }
    for statement, wanted in cases.items():
        with psycopg.connect(**desk.target.conninfo()) as connection:
            found = connection.execute(f"{statement} RETURNING old, new".encode()).fetchone()
            connection.rollback()
        assert found == wanted, statement


def test_dual_writing_ends_without_a_trace(desk: Desk) -> None:
    desk.execute("ALTER TABLE parcels ADD COLUMN new text")
    desk.take(lambda: ops.dual_write("parcels", "old", "new"))
    desk.take(lambda: ops.drop_dual_write("parcels", "old", "new"))
    desk.take(lambda: ops.drop_dual_write("parcels", "old", "new"))
    assert desk.scalar("SELECT count(*) FROM pg_proc WHERE proname LIKE 'dual_write%'") == 0
    assert desk.scalar("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'dual_write%'") == 0


def test_missing_roles_are_named(desk: Desk) -> None:
    desk.take(lambda: ops.require_roles("postgres"))
    with pytest.raises(ops.StepRefused, match="missing roles: nobody_here; run: shippyard boot"):
        desk.take(lambda: ops.require_roles("postgres", "nobody_here"))


class _watched_waiting:  # noqa: N801  reads as a claim
    """Sets `seen` once a statement of ours waits for a lock."""

    def __init__(self, desk: Desk, seen: threading.Event) -> None:
        self._desk, self._seen, self._stop = desk, seen, threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def _watch(self) -> None:
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        with self._desk.connect() as connection:
            while not self._stop.is_set() and not self._seen.is_set():
                row = connection.execute(waiting.encode()).fetchone()
                if row and row[0]:
                    self._seen.set()
