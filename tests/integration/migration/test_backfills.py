"""Backfills of authors on a real PostgreSQL: every row once, whatever happens meanwhile."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError

from shippyard.host.clock import SystemClock
from shippyard.migration import ops
from shippyard.migration.backfill.batch import CheckpointMoved, change, next_range
from shippyard.migration.backfill.checkpoint import Checkpoints
from shippyard.migration.backfill.connecting import connected
from shippyard.migration.backfill.keys import find_table
from shippyard.migration.backfill.server import Server
from shippyard.migration.backfill.spec import Spec
from shippyard.migration.backfill.worker import Worker
from shippyard.postgres.target import Target
from tests.conftest import Eventually
from tests.integration.migration.author_steps import Desk

ROWS = 3000
FINISHED_SQL = "SELECT finished_at IS NOT NULL FROM shippyard.backfill WHERE name = 'touches'"
WAITS_SQL = "SELECT count(*) FROM pg_locks WHERE NOT granted"
KEY_SQL = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"

ODD_TABLE = """
CREATE TABLE "Odd parcels" (
    n int DEFAULT 0, day timestamptz, "It's" text, weight numeric,
    PRIMARY KEY ("It's", day, weight)
)
"""
ODD_ROWS = r"""
INSERT INTO "Odd parcels"
SELECT 0, timestamptz '2026-01-02 03:04:05.678901+00' + d * interval '1 day',
    E'a\\''b%' || t, w / 3.0
FROM generate_series(1, 12) d, generate_series(1, 20) t, generate_series(1, 5) w
"""


@pytest.fixture
def desk(fresh_database: Target) -> Desk:
    made = Desk(fresh_database)
    made.execute(
        "CREATE TABLE parcels (id uuid PRIMARY KEY, n int DEFAULT 0, tier text, note text)",
        f"INSERT INTO parcels (id) SELECT gen_random_uuid() FROM generate_series(1, {ROWS})",
    )
    return made


def touch(**more: Any) -> Callable[[], None]:
    """A change that shows how often it was made."""
    return lambda: ops.backfill("touches", "parcels", {"n": "n + 1"}, **more)


def counted(desk: Desk) -> dict[int, int]:
    """How many rows were changed how often."""
    with desk.connect() as connection:
        rows = connection.execute("SELECT n, count(*) FROM parcels GROUP BY n").fetchall()
        return dict(rows)


def test_every_row_is_changed_once_however_often_it_is_run(desk: Desk) -> None:
    desk.take(touch())
    assert counted(desk) == {1: ROWS}
    desk.take(touch())
    assert counted(desk) == {1: ROWS}
    assert desk.scalar(FINISHED_SQL)
    assert desk.scalar("SELECT rows FROM shippyard.backfill") == ROWS
    assert desk.scalar(KEY_SQL) == 0


def test_a_forgotten_one_begins_again(desk: Desk) -> None:
    desk.take(lambda: ops.forget_backfill("touches"))
    desk.take(touch())
    desk.take(lambda: ops.forget_backfill("touches"))
    desk.take(touch())
    assert counted(desk) == {2: ROWS}


def test_settings_of_the_session_come_back(desk: Desk) -> None:
    desk.execute("CREATE TABLE said (lock_timeout text, row_security text, datestyle text)")

    def step() -> None:
        touch()()
        ops.steps.execute(
            "INSERT INTO said SELECT current_setting('lock_timeout'),"
            " current_setting('row_security'), current_setting('datestyle')"
        )

    desk.settings = "-c lock_timeout=123ms -c datestyle=German"
    desk.take(step)
    assert desk.scalar("SELECT (lock_timeout, row_security, datestyle)::text FROM said") == (
        '(123ms,on,"German, DMY")'
    )


def test_composite_keys_of_any_type_are_gone_through_in_their_order(desk: Desk) -> None:
    desk.settings = "-c datestyle=SQL,DMY -c lock_timeout=100ms"
    desk.execute(ODD_TABLE, ODD_ROWS)
    desk.take(
        lambda: ops.backfill(
            "odd", "Odd parcels", {"n": "n + 1 + 7 % 7"}, schema="public", where="n % 2 = 0 -- even"
        )
    )
    assert desk.scalar('SELECT count(*) FROM "Odd parcels" WHERE n = 1') == 12 * 20 * 5


def test_only_rows_that_are_due_are_written(desk: Desk) -> None:
    desk.execute(
        "UPDATE parcels SET tier = 'plus' WHERE id < '80000000-0000-0000-0000-000000000000'"
    )
    there = desk.scalar("SELECT count(*) FROM parcels WHERE tier = 'plus'")
    desk.take(
        lambda: ops.backfill(
            "tiers", "parcels", {"tier": "'ba:sic'", "n": "n + 1"}, where="tier IS NULL"
        )
    )
    assert counted(desk) == {0: there, 1: ROWS - there}
    assert desk.scalar("SELECT count(*) FROM parcels WHERE tier = 'ba:sic'") == ROWS - there


def test_a_where_that_stays_true_changes_no_row_twice(desk: Desk) -> None:
    desk.take(touch(where="n >= 0"))
    assert counted(desk) == {1: ROWS}


def test_rows_that_come_behind_the_batches_are_found(desk: Desk) -> None:
    desk.attributes["progress"] = lambda _: None
    behind = "INSERT INTO parcels (id) VALUES ('00000000-0000-0000-0000-000000000001')"
    spec = Spec("tiers", "parcels", {"tier": "'basic'"}, "tier IS NULL")
    with connected(desk.target, "test") as connection:
        server = Server(connection)
        worker = Worker(connection, SystemClock(), lambda _: None)
        begun = worker.register(spec)
        table = find_table(server, spec)
        picked = next_range(server, table, begun, 100)
        assert picked is not None
        assert change(server, table, begun, picked).rows == 100
        desk.execute(behind)
        ended = worker.run(spec)
    assert desk.scalar("SELECT count(*) FROM parcels WHERE tier IS NULL") == 0
    assert (ended.rows, ended.round) == (ROWS + 1, 3)


def test_an_empty_table_is_done_at_once(desk: Desk) -> None:
    desk.execute("TRUNCATE parcels")
    desk.take(touch())
    assert desk.scalar(FINISHED_SQL)


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (lambda: ops.backfill("x", "keyless", {"n": "1"}), "keyless has no primary key"),
        (lambda: ops.backfill("x", "nowhere", {"n": "1"}), "there is no table nowhere"),
        (lambda: ops.backfill("x", "parcels", {"id": "id"}), "change the primary key .id."),
        (lambda: ops.backfill("x", "parcels", {}), "sets no column"),
        (lambda: ops.backfill("X y", "parcels", {"n": "1"}), "name is up to 63"),
        (lambda: ops.backfill("x", "parcels", {"n": "1"}, duty=0), "duty is between"),
        (lambda: ops.require_backfill("x"), "was never begun"),
    ],
)
def test_what_can_not_be_done_is_refused_before_anything_is_written(
    desk: Desk, step: Callable[[], None], said: str
) -> None:
    desk.execute("CREATE TABLE keyless (n int)")
    with pytest.raises(ops.StepRefused, match=said):
        desk.take(step)
    assert desk.scalar("SELECT to_regnamespace('shippyard')") is None


def test_other_work_under_the_same_name_is_refused(desk: Desk) -> None:
    desk.take(touch())
    with pytest.raises(ops.StepRefused, match="touches was begun as something else"):
        desk.take(lambda: ops.backfill("touches", "parcels", {"n": "n + 2"}))
    desk.take(touch(duty=1, target_ms=20))  # as polite as one likes
    assert counted(desk) == {1: ROWS}


def test_rows_that_a_policy_hides_are_an_error(desk: Desk) -> None:
    role = f"owner_{desk.target.dbname}"
    desk.execute(
        f"CREATE ROLE {role}",
        f"GRANT CREATE ON DATABASE {desk.target.dbname} TO {role}",
        f"GRANT CREATE, USAGE ON SCHEMA public TO {role}",
        f"ALTER TABLE parcels OWNER TO {role}",
        "ALTER TABLE parcels ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE parcels FORCE ROW LEVEL SECURITY",
    )
    desk.settings = f"-c role={role}"
    with pytest.raises(ops.StepRefused, match=r"row-level security.*BYPASSRLS"):
        desk.take(touch())
    desk.execute(f"ALTER ROLE {role} BYPASSRLS")
    desk.take(touch())
    assert counted(desk) == {1: ROWS}
    desk.execute(f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_rows_that_the_application_locks_are_waited_for(desk: Desk, eventually: Eventually) -> None:
    desk.attributes["lock_attempts"] = 1000
    work = threading.Thread(target=desk.take, args=[touch()], daemon=True)
    row = "SELECT FROM parcels WHERE id = (SELECT max(id::text)::uuid FROM parcels) FOR UPDATE"
    with desk.held(row):
        work.start()
        eventually(lambda: counted(desk) == {0: 1, 1: ROWS - 1})
        assert work.is_alive()
    work.join(20)
    assert counted(desk) == {1: ROWS}


def test_rows_that_stay_locked_end_it_and_the_next_try_goes_on(desk: Desk) -> None:
    row = "SELECT FROM parcels WHERE id = (SELECT max(id::text)::uuid FROM parcels) FOR UPDATE"
    with desk.held(row), pytest.raises(DBAPIError, match="lock timeout"):
        desk.take(touch())
    desk.take(touch())
    assert counted(desk) == {1: ROWS}


def test_deadlocks_with_the_application_are_ours_to_give_up(
    desk: Desk, eventually: Eventually
) -> None:
    """The application holds the last row and then wants the first, which a batch holds."""
    desk.attributes["lock_attempts"] = 1000
    desk.execute(
        "DELETE FROM parcels",
        "INSERT INTO parcels SELECT gen_random_uuid() FROM generate_series(1, 100)",
    )
    first, last = (
        "SELECT id FROM parcels ORDER BY id LIMIT 1",
        "SELECT id FROM parcels ORDER BY id DESC LIMIT 1",
    )
    work = threading.Thread(target=desk.take, args=[touch()], daemon=True)
    with desk.held(f"UPDATE parcels SET note = 'a' WHERE id = ({last})") as application:
        work.start()
        for _ in range(5):
            eventually(lambda: desk.scalar(WAITS_SQL) > 0)
            application.execute(f"UPDATE parcels SET note = 'b' WHERE id = ({first})".encode())
    work.join(20)
    assert counted(desk) == {1: 100}


def test_one_worker_at_a_time(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shippyard.migration.backfill.worker.TURN_WAIT_S", 0.2)
    spec = Spec("touches", "parcels", {"n": "n + 1"})
    with connected(desk.target, "first") as connection:
        worker = Worker(connection, SystemClock(), lambda _: None)
        with worker._turn("touches"):
            with pytest.raises(ops.StepRefused, match=r"under way: shippyard:backfill:first"):
                desk.take(touch())
        worker.run(spec)
    assert counted(desk) == {1: ROWS}


def test_two_workers_that_both_think_it_is_their_turn_change_no_row_twice(desk: Desk) -> None:
    spec = Spec("touches", "parcels", {"n": "n + 1"})
    with connected(desk.target, "one") as one, connected(desk.target, "two") as two:
        begun = Worker(one, SystemClock(), lambda _: None).register(spec)
        table = find_table(Server(one), spec)
        picked = next_range(Server(two), table, begun, 100)
        assert picked is not None
        change(Server(one), table, begun, picked)
        with pytest.raises(CheckpointMoved):
            change(Server(two), table, begun, picked)
    assert counted(desk) == {0: ROWS - 100, 1: 100}


def test_one_in_the_background_is_required_before_what_needs_it(desk: Desk) -> None:
    desk.take(touch(background=True, duty=0.9))
    assert counted(desk) == {0: ROWS}
    with pytest.raises(ops.StepRefused, match="run: shippyard migration backfill touches"):
        desk.take(lambda: ops.require_backfill("touches"))
    with connected(desk.target, "touches") as connection:
        registered = Checkpoints(Server(connection)).get("touches")
        assert registered is not None
        assert registered.spec.limits.duty == 0.9
        Worker(connection, SystemClock(), lambda _: None).run(registered.spec)
    desk.take(lambda: ops.require_backfill("touches"))
    assert counted(desk) == {1: ROWS}


def test_without_a_database_it_is_one_statement_and_says_so(desk: Desk) -> None:
    text = desk.written(touch(where="n < 2"))
    assert 'UPDATE parcels SET "n" = (n + 1) WHERE n < 2' in text
    assert "-- backfill touches: " in text
    desk.execute(desk.written(lambda: ops.forget_backfill("touches")))
