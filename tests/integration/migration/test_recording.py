"""What a migration does to a server is recorded, whatever it did."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from shippyard.host.process import Processes
from shippyard.migration.recording import RecordingFailed, record
from shippyard.migration.rehearsal.report import Recorded
from shippyard.postgres.embedded import embedded_cluster
from shippyard.postgres.schema_objects import read_objects
from shippyard.postgres.session import session
from shippyard.postgres.target import Target
from shippyard.postgres.tools import server_tools

AX, SHARE, SUE = "AccessExclusiveLock", "ShareLock", "ShareUpdateExclusiveLock"
SRX, EX, RX = "ShareRowExclusiveLock", "ExclusiveLock", "RowExclusiveLock"
ROWS = 20_000

Connection = psycopg.Connection[Any]
Migrate = Callable[[Connection], None]


@pytest.fixture
def database(fresh_database: Target) -> Target:
    with psycopg.connect(**fresh_database.conninfo(), autocommit=True) as connection:
        connection.execute(
            f"""
            CREATE TABLE users (id int PRIMARY KEY, email text, age int);
            INSERT INTO users SELECT n, 'user' || n, n % 90 FROM generate_series(1, {ROWS}) AS n;
            CREATE INDEX users_email ON users (email);
            CREATE TABLE orders (id int PRIMARY KEY, user_id int);
            INSERT INTO orders SELECT n, n FROM generate_series(1, {ROWS}) AS n;
            CREATE VIEW adults AS SELECT id, age FROM users WHERE age > 17;
            CREATE MATERIALIZED VIEW ages AS SELECT age, count(*) FROM users GROUP BY age;
            CREATE UNIQUE INDEX ages_age ON ages (age);
            CREATE TABLE events (id int, at date) PARTITION BY RANGE (at);
            CREATE TABLE events_old PARTITION OF events
                FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
            CREATE TABLE events_new PARTITION OF events
                FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
            """.encode()
        )
        connection.execute("VACUUM ANALYZE")
    return fresh_database


@contextmanager
def migrating(target: Target, name: str = "shippyard:migrate:r1") -> Iterator[Connection]:
    with psycopg.connect(**target.conninfo(), autocommit=True, application_name=name) as connection:
        yield connection


def recorded(target: Target, *statements: str) -> Recorded:
    with record(target) as recording:
        with migrating(target) as connection:
            for statement in statements:
                connection.execute(statement.encode())
    return recording.result()


def held(found: Recorded) -> set[tuple[str, str]]:
    return {(each.relation.removeprefix("public."), each.mode) for each in found.locks}


CASES = [
    (["ALTER TABLE users ADD COLUMN x int"], {("users", AX)}),
    (["CREATE INDEX CONCURRENTLY i ON users (age)"], {("users", SUE)}),
    (["CREATE INDEX i ON users (age)"], {("users", SHARE)}),
    (["DROP INDEX users_email"], {("users", AX), ("users_email", AX)}),
    (["DROP INDEX CONCURRENTLY users_email"], {("users", SUE), ("users_email", AX)}),
    (["REINDEX INDEX users_email"], {("users", SHARE), ("users_email", AX)}),
    (["REINDEX INDEX CONCURRENTLY users_email"], {("users", SUE), ("users_email", SUE)}),
    (["VACUUM FULL users"], {("users", AX)}),
    (["CLUSTER users USING users_email"], {("users", AX), ("users_email", AX)}),
    (["TRUNCATE orders"], {("orders", AX), ("orders_pkey", AX)}),
    (["REFRESH MATERIALIZED VIEW ages"], {("ages", AX)}),
    (["REFRESH MATERIALIZED VIEW CONCURRENTLY ages"], {("ages", EX)}),
    (
        ["ALTER TABLE orders ADD FOREIGN KEY (user_id) REFERENCES users"],
        {("orders", SRX), ("users", SRX)},
    ),
    (["DROP VIEW adults"], {("adults", AX)}),
    (["CREATE OR REPLACE VIEW adults AS SELECT id, age FROM users"], {("adults", AX)}),
    (["ALTER TABLE events ADD COLUMN x int"], {(each, AX) for each in ("events", "events_old")}),
    (["ALTER TABLE events DETACH PARTITION events_old"], {("events", AX), ("events_old", AX)}),
    (["DO $$ BEGIN EXECUTE 'ALTER TABLE users ADD COLUMN x int'; END $$"], {("users", AX)}),
    (["UPDATE users SET age = age + 1"], {("users", RX), ("users_email", RX)}),
    (["DROP TABLE orders"], {("orders", AX), ("orders_pkey", AX)}),
]


@pytest.mark.parametrize(("statements", "expected"), CASES, ids=[case[0][0] for case in CASES])
def test_locks_are_recorded(
    database: Target, statements: list[str], expected: set[tuple[str, str]]
) -> None:
    assert expected <= held(recorded(database, *statements))


def test_none_of_150_single_commands_is_lost(database: Target) -> None:
    alters = [f"ALTER TABLE orders ADD COLUMN c{n} int" for n in range(150)]
    locks = [each for each in recorded(database, *alters).locks if each.mode == AX]
    assert [each.relation for each in locks].count("public.orders") == 150


FAILS = [
    ("ALTER TABLE users ADD CHECK (id < 19990)", AX),
    ("ALTER TABLE users ADD COLUMN x int CHECK (id < 19990)", AX),
    ("ALTER TABLE users ALTER email TYPE int USING email::int", AX),
    ("CREATE UNIQUE INDEX CONCURRENTLY i ON users (age)", SUE),
]


@pytest.mark.parametrize(("statement", "mode"), FAILS)
def test_locks_of_what_fails_are_recorded(database: Target, statement: str, mode: str) -> None:
    # What fails leaves no trace but its lock, for a few milliseconds: only a look in time sees it.
    for _ in range(10):
        with record(database) as recording:
            with migrating(database) as connection, suppress(psycopg.Error):
                connection.execute(statement.encode())
        if ("users", mode) in held(recording.result()):
            return
    pytest.fail("seen in none of ten recordings")


def test_locks_of_what_is_rolled_back_are_recorded(database: Target) -> None:
    with record(database) as recording:
        with migrating(database) as connection, suppress(psycopg.Rollback):
            with connection.transaction():
                connection.execute("ALTER TABLE users ALTER email TYPE varchar(20)")
                raise psycopg.Rollback
    found = recording.result()
    assert ("users", AX) in held(found)
    assert found.rewrites == ("public.users",)


def test_only_watched_sessions_are_recorded(database: Target) -> None:
    with record(database) as recording:
        with migrating(database, "somebody else") as connection:
            connection.execute("ALTER TABLE users ADD COLUMN x int")
    assert recording.result().locks == ()


def test_revisions_have_their_locks_and_statements(database: Target) -> None:
    with record(database) as recording, migrating(database) as connection:
        recording.revision("001")
        connection.execute("ALTER TABLE users ADD COLUMN x int")
        recording.revision("002")
        connection.execute("ALTER TABLE orders ADD COLUMN x int")
        recording.revision(None)
        connection.close()
        found = recording.result()
    exclusive = [(e.relation, e.revision) for e in found.locks if e.mode == AX]
    assert exclusive == [("public.users", "001"), ("public.orders", "002")]
    texts = {(each.text, each.revision) for each in found.statements}
    assert ("ALTER TABLE users ADD COLUMN x int", "001") in texts
    assert ("ALTER TABLE orders ADD COLUMN x int", "002") in texts


def test_blocked_time_goes_from_the_command_to_the_end_of_its_transaction(
    database: Target,
) -> None:
    found = recorded(
        database, "BEGIN; ALTER TABLE users ADD COLUMN x int", "SELECT pg_sleep(0.4)", "COMMIT"
    )
    [users] = [each for each in found.blocked if each.relation == "public.users"]
    assert users.reads_ms == users.writes_ms
    assert users.reads_ms >= 390
    assert [each.text for each in found.statements if each.elapsed_ms > 390] == [
        "SELECT pg_sleep(0.4)"
    ]


def test_a_build_blocks_writers_only_and_a_rebuilt_index_blocks_its_tables_readers(
    database: Target,
) -> None:
    [built] = recorded(database, "CREATE INDEX i ON users (age)").blocked
    assert (built.relation, built.reads_ms) == ("public.users", 0)
    assert built.writes_ms > 0
    [rebuilt] = recorded(database, "REINDEX INDEX users_email").blocked
    assert rebuilt.relation == "public.users"
    assert rebuilt.reads_ms > 0


def test_a_concurrent_build_blocks_nobody(database: Target) -> None:
    assert recorded(database, "CREATE INDEX CONCURRENTLY i ON users (age)").blocked == ()


@pytest.mark.parametrize(
    ("statement", "rewrites"),
    [
        ("ALTER TABLE users ALTER email TYPE varchar(20)", ("public.users",)),
        ("ALTER TABLE users ALTER age SET NOT NULL", ()),
        ("VACUUM FULL users", ("public.users",)),
        ("REINDEX TABLE CONCURRENTLY users", ("public.users_email", "public.users_pkey")),
        ("REFRESH MATERIALIZED VIEW ages", ("public.ages",)),
        ("TRUNCATE orders", ()),
    ],
)
def test_rewrites_are_recorded(database: Target, statement: str, rewrites: tuple[str]) -> None:
    assert recorded(database, statement).rewrites == rewrites


def test_full_scans_are_recorded_and_looks_through_an_index_are_not(database: Target) -> None:
    found = recorded(
        database,
        "ALTER TABLE users ALTER age SET NOT NULL",
        "UPDATE orders SET user_id = 1 WHERE id = 5",
    )
    assert found.scans == ("public.users",)


def test_wal_and_disk_are_measured(database: Target) -> None:
    found = recorded(database, "UPDATE users SET age = age + 1")
    assert found.wal_bytes > ROWS * 50
    assert found.growth_bytes > ROWS * 30
    assert recorded(database, "SELECT 1").wal_bytes < ROWS * 50


def test_nothing_of_it_stays(database: Target) -> None:
    def objects() -> dict[str, str]:
        with session(database, "compare") as asking:
            return read_objects(asking.query)

    before = objects()
    recorded(database, "SELECT 1")
    with pytest.raises(ZeroDivisionError), record(database):
        raise ZeroDivisionError
    assert objects() == before
    left = "SELECT count(*) FROM pg_event_trigger, pg_db_role_setting"
    with migrating(database, "looking") as connection:
        assert connection.execute(left).fetchone() == (0,)
        schemas = "SELECT count(*) FROM pg_namespace WHERE nspname ~ 'recording'"
        assert connection.execute(schemas).fetchone() == (0,)


def test_productions_own_event_triggers_are_silent_meanwhile(database: Target) -> None:
    with migrating(database, "production") as connection:
        connection.execute(
            """
            CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql
            AS $$ BEGIN RAISE 'production refuses'; END $$;
            CREATE EVENT TRIGGER refusing ON ddl_command_start EXECUTE FUNCTION refuse();
            ALTER EVENT TRIGGER refusing ENABLE ALWAYS;
            """
        )
        assert ("users", AX) in held(recorded(database, "ALTER TABLE users ADD COLUMN x int"))
        enabled = "SELECT evtname, evtenabled FROM pg_event_trigger"
        assert connection.execute(enabled).fetchall() == [("refusing", "A")]
        with pytest.raises(psycopg.errors.RaiseException, match="production refuses"):
            connection.execute("ALTER TABLE users ADD COLUMN y int")


def test_a_role_without_rights_on_it_is_recorded(database: Target) -> None:
    with migrating(database, "setup") as connection:
        connection.execute(
            """
            CREATE ROLE plain_migrator LOGIN;
            ALTER TABLE orders OWNER TO plain_migrator;
            ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
            """
        )
    try:
        with record(database) as recording:
            with migrating(replace(database, user="plain_migrator")) as connection:
                connection.execute("ALTER TABLE orders ADD COLUMN x int")
        assert ("orders", AX) in held(recording.result())
    finally:
        with migrating(database, "setup") as connection:
            connection.execute("REASSIGN OWNED BY plain_migrator TO postgres")
            connection.execute("DROP OWNED BY plain_migrator; DROP ROLE plain_migrator")


def test_a_session_that_is_killed_is_recorded(database: Target) -> None:
    with record(database) as recording:
        with (
            migrating(database, "killer") as killer,
            suppress(psycopg.OperationalError),
            migrating(database) as connection,
        ):
            connection.execute("BEGIN; ALTER TABLE users ADD COLUMN x int")
            killer.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
    assert ("users", AX) in held(recording.result())


def test_a_watcher_that_is_gone_is_told(database: Target) -> None:
    with pytest.raises(RecordingFailed, match="the watcher"), record(database):
        with migrating(database, "killer") as killer:
            killer.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'shippyard:recording-watch'"
            )


def test_a_scratch_server_that_writes_little_wal_is_counted_as_production(
    processes: Processes,
) -> None:
    settings = {"wal_level": "minimal", "max_wal_senders": "0", "full_page_writes": "off"}
    settings |= {"shared_preload_libraries": "pg_stat_statements"}
    with embedded_cluster(server_tools(processes), processes, settings) as cluster:
        target = cluster.target()
        with migrating(target, "setup") as connection:
            connection.execute(
                "CREATE TABLE t AS SELECT n, n AS m FROM generate_series(1, 50000) AS n"
            )
            connection.execute("ANALYZE t")
        found = recorded(target, "ALTER TABLE t ALTER m TYPE bigint", "UPDATE t SET m = 1")
        updated = [each for each in found.statements if each.text == "UPDATE t SET m = 1"]
        with migrating(target, "looking") as connection:
            assert connection.execute("SHOW full_page_writes").fetchone() == ("off",)
    # the rewrite's own pages, and a whole page and two rows for each that is updated
    assert found.wal_bytes > 50_000 * 100
    assert [each.rows for each in updated] == [50_000]
