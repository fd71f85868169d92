"""Owns the rows about recording: which locks are seen, and how long others are blocked.

What is true is measured apart from the recorder: locks by asking the server within a transaction
that is held open, or as PostgreSQL documents them where a command can't run in one; blocked time by
readers and writers that knock on a table all the time.
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg

from proofs.backup.shelf import servers
from proofs.table import Context, CouldNotRun, Outcome, Row
from shippyard.host.process import Processes
from shippyard.migration.recording import record
from shippyard.postgres.embedded import embedded_cluster
from shippyard.postgres.target import Target
from shippyard.postgres.tools import Tools

MAJORS = (15, 17, 18)
ALTERS = 150
LOCKS_GOAL = 0.99
BLOCKED_GOAL = 0.05
SHORTEST_MS = 300.0
CANARY_PAUSE_S = 0.001
FULL_ROWS, QUICK_ROWS = 2_000_000, 300_000
NAME = "shippyard:migrate:proof"
STAGE = "stage"
AX, SUE = "AccessExclusiveLock", "ShareUpdateExclusiveLock"

Lock = tuple[str, str]
Connection = psycopg.Connection[Any]

SCHEMA = """
CREATE TABLE users (id int PRIMARY KEY, email text, age int, ok boolean);
INSERT INTO users SELECT n, 'user' || n, n % 90, true FROM generate_series(1, 30000) AS n;
CREATE INDEX users_email ON users (email);
CREATE TABLE orders (id int PRIMARY KEY, user_id int, note text);
INSERT INTO orders SELECT n, n, 'note' FROM generate_series(1, 30000) AS n;
CREATE TABLE notes (id int PRIMARY KEY, order_id int REFERENCES orders);
CREATE VIEW adults AS SELECT id, email FROM users WHERE age > 17;
CREATE MATERIALIZED VIEW ages AS SELECT age, count(*) FROM users GROUP BY age;
CREATE UNIQUE INDEX ages_age ON ages (age);
CREATE TABLE events (id int, at date) PARTITION BY RANGE (at);
CREATE TABLE events_old PARTITION OF events FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE events_new PARTITION OF events FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
CREATE TABLE events_next (id int, at date);
ALTER TABLE orders ADD CONSTRAINT later CHECK (id > 0) NOT VALID;
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
"""


@dataclass(frozen=True)
class Kind:
    """A kind of command. `documented` are its locks where no transaction can hold it open."""

    statement: str
    documented: frozenset[Lock] = frozenset()


KINDS = (
    Kind("ALTER TABLE users ADD COLUMN x int DEFAULT 1"),
    Kind("ALTER TABLE users ADD COLUMN x uuid DEFAULT gen_random_uuid()"),
    Kind("ALTER TABLE users DROP COLUMN ok"),
    Kind("ALTER TABLE orders ALTER user_id TYPE bigint"),
    Kind("ALTER TABLE users ALTER age SET NOT NULL"),
    Kind("ALTER TABLE users ALTER age SET STATISTICS 500"),
    Kind("ALTER TABLE users RENAME ok TO fine"),
    Kind("ALTER TABLE orders RENAME TO purchases"),
    Kind("ALTER TABLE orders ADD FOREIGN KEY (user_id) REFERENCES users"),
    Kind("ALTER TABLE orders ADD FOREIGN KEY (user_id) REFERENCES users NOT VALID"),
    Kind("ALTER TABLE users ADD CHECK (age >= 0)"),
    Kind("ALTER TABLE orders VALIDATE CONSTRAINT later"),
    Kind("ALTER TABLE users ADD UNIQUE (email)"),
    Kind("ALTER TABLE orders SET (fillfactor = 80)"),
    Kind("ALTER TABLE events ADD COLUMN x int"),
    Kind(
        "ALTER TABLE events ATTACH PARTITION events_next"
        " FOR VALUES FROM ('2022-01-01') TO (MAXVALUE)"
    ),
    Kind("ALTER TABLE events DETACH PARTITION events_old"),
    Kind("CREATE INDEX i ON users (age)"),
    Kind("CREATE INDEX CONCURRENTLY i ON users (age)", frozenset({("users", SUE)})),
    Kind("DROP INDEX users_email"),
    Kind("DROP INDEX CONCURRENTLY users_email", frozenset({("users", SUE)})),
    Kind("REINDEX INDEX users_email"),
    Kind("REINDEX TABLE users"),
    Kind(
        "REINDEX INDEX CONCURRENTLY users_email",
        frozenset({("users", SUE), ("users_email", SUE)}),
    ),
    Kind("VACUUM FULL users", frozenset({("users", AX)})),
    Kind("CLUSTER users USING users_email"),
    Kind("TRUNCATE notes"),
    Kind("DROP TABLE notes"),
    Kind("CREATE TRIGGER t BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION nothing()"),
    Kind("CREATE OR REPLACE VIEW adults AS SELECT id, email FROM users WHERE age > 20"),
    Kind("REFRESH MATERIALIZED VIEW ages"),
    Kind("REFRESH MATERIALIZED VIEW CONCURRENTLY ages"),
    Kind("UPDATE users SET age = age + 1"),
    Kind("DO $$ BEGIN EXECUTE 'ALTER TABLE users ADD COLUMN x int'; END $$"),
)
KINDS_LEAST = 28

KNOWN = """
SELECT oid::bigint, relname FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'm', 'v', 'i', 'I')
"""
LOCKS_NOW = """
SELECT relation::bigint, mode FROM pg_locks
WHERE pid = pg_backend_pid() AND granted AND locktype = 'relation'
"""

BIG = """
CREATE TABLE big (id int, a int, b int NOT NULL, t text);
INSERT INTO big SELECT n, n, n, md5(n::text) FROM generate_series(1, {rows}) AS n;
CREATE INDEX big_b ON big (b);
CREATE TABLE small (id int PRIMARY KEY);
INSERT INTO small SELECT DISTINCT n FROM generate_series(1, {rows}) AS n;
"""
BLOCKING = (
    "ALTER TABLE big ALTER a TYPE bigint",
    "ALTER TABLE big ADD COLUMN x uuid DEFAULT gen_random_uuid()",
    "CREATE INDEX big_a ON big (a)",
    "REINDEX INDEX big_b",
    "VACUUM FULL big",
    "CLUSTER big USING big_b",
    "ALTER TABLE big ADD CHECK (length(t) + length(md5(t)) > 0)",
    "ALTER TABLE big ADD UNIQUE (id)",
    "ALTER TABLE big ADD FOREIGN KEY (b) REFERENCES small",
    "BEGIN; LOCK TABLE big IN SHARE ROW EXCLUSIVE MODE; SELECT pg_sleep(0.5); COMMIT",
)
QUICK_BLOCKING = (BLOCKING[0], BLOCKING[2], BLOCKING[-1])


def locks(context: Context) -> Outcome:
    """Every kind of command on a database of its own, and many small ones in a row."""
    seen, expected = 0, 0
    missed: list[str] = []
    for major, tools in _majors(context).items():
        with _cluster(tools) as target:
            _stage(target)
            counts = [_kind_seen(target, kind, missed, major) for kind in KINDS]
            counts.append(_alters_seen(target))
        seen += sum(each[0] for each in counts)
        expected += sum(each[1] for each in counts)
        context.say(
            f"PostgreSQL {major}: {sum(e[0] for e in counts)} of {sum(e[1] for e in counts)}"
        )
    share = seen / expected
    measured = (
        f"{seen:,} of {expected:,} locks ({share:.2%}) of {len(KINDS)} kinds of command and "
        f"{ALTERS} single ALTERs, PostgreSQL {', '.join(map(str, _majors(context)))}"
    )
    return Outcome(measured, ok=share >= LOCKS_GOAL, note="; ".join(missed))


def blocked_time(context: Context) -> Outcome:
    """Recorded beside what readers and writers waited that try all the time."""
    tools = _majors(context)[MAJORS[0]]
    rows = context.count(full=FULL_ROWS, quick=QUICK_ROWS)
    found: list[Compared] = []
    with _cluster(tools) as target:
        _execute(target, BIG.format(rows=rows))
        for statement in QUICK_BLOCKING if context.quick else BLOCKING:
            found += _compared(target, statement)
    counted = [each for each in found if max(each.canary_ms, each.recorded_ms) >= SHORTEST_MS]
    worst = max(counted, key=lambda each: each.error, default=None)
    if worst is None:
        raise CouldNotRun(f"no command blocked anybody for {SHORTEST_MS:.0f} ms")
    measured = (
        f"{len(counted)} blocked times of {SHORTEST_MS:.0f} ms and more, worst {worst.error:.1%}: "
        f"{worst.recorded_ms:.0f} ms recorded, {worst.canary_ms:.0f} ms waited"
    )
    return Outcome(
        measured, ok=worst.error <= BLOCKED_GOAL, note="; ".join(str(each) for each in found)
    )


@dataclass(frozen=True)
class Compared:
    """What was recorded for a command, and what a canary waited."""

    statement: str
    who: str
    recorded_ms: float
    canary_ms: float

    @property
    def error(self) -> float:
        """How far recorded is from waited, as a share of what was waited."""
        return abs(self.recorded_ms - self.canary_ms) / self.canary_ms

    def __str__(self) -> str:
        return f"{self.statement}: {self.who} {self.recorded_ms:.0f}/{self.canary_ms:.0f} ms"


@dataclass
class Canary:
    """Runs one statement all the time and remembers the longest that it took."""

    target: Target
    statement: str
    longest_s: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)
    _going: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._sing, daemon=True)
        self._thread.start()
        if not self._going.wait(10):
            raise CouldNotRun("a canary did not begin")

    def stop(self) -> float:
        """The longest statement in ms."""
        self._stop.set()
        self._thread.join(60)
        return self.longest_s * 1000

    def _sing(self) -> None:
        with _connected(self.target, "canary") as connection:
            # A cached plan would not look at the indexes that it does not use.
            connection.prepare_threshold = None
            while not self._stop.wait(CANARY_PAUSE_S):
                begun = time.perf_counter()
                connection.execute(self.statement.encode())
                took_s = time.perf_counter() - begun
                self.longest_s = max(self.longest_s, took_s if self._going.is_set() else 0.0)
                self._going.set()


def _kind_seen(target: Target, kind: Kind, missed: list[str], major: int) -> tuple[int, int]:
    """How many of a kind's locks the recorder saw, and how many there are."""
    with _fresh(target) as database:
        expected = kind.documented or _held_open(database, kind.statement)
        with record(database) as recording:
            _execute(database, kind.statement, name=NAME)
        found = {
            (each.relation.removeprefix("public."), each.mode) for each in recording.result().locks
        }
    missed += [f"{major}: {kind.statement}: {each}" for each in sorted(expected - found)]
    return len(expected & found), len(expected)


def _alters_seen(target: Target) -> tuple[int, int]:
    with _fresh(target) as database:
        with record(database) as recording, _connected(database, NAME) as connection:
            for number in range(ALTERS):
                connection.execute(f"ALTER TABLE notes ADD COLUMN c{number} int".encode())
        held = [each for each in recording.result().locks if each.relation == "public.notes"]
    return min(ALTERS, sum(each.mode == AX for each in held)), ALTERS


def _held_open(database: Target, statement: str) -> frozenset[Lock]:
    """The locks on what others know, read in the transaction that took them."""
    with _connected(database, "truth") as connection:
        names = dict(connection.execute(KNOWN).fetchall())
        connection.execute("BEGIN")
        connection.execute(statement.encode())
        rows = connection.execute(LOCKS_NOW).fetchall()
        connection.execute("ROLLBACK")
    return frozenset((names[oid], mode) for oid, mode in rows if oid in names)


def _compared(target: Target, statement: str) -> list[Compared]:
    reader = Canary(target, "SELECT id FROM big LIMIT 1")
    writer = Canary(target, "INSERT INTO big (id, a, b, t) SELECT 1, 1, 1, '' WHERE false")
    with record(target) as recording:
        _execute(target, statement, name=NAME)
    waited = {"reader": reader.stop(), "writer": writer.stop()}
    found = [each for each in recording.result().blocked if each.relation == "public.big"]
    reads_ms, writes_ms = (found[0].reads_ms, found[0].writes_ms) if found else (0.0, 0.0)
    recorded = {"reader": reads_ms, "writer": writes_ms}
    return [Compared(statement, who, recorded[who], waited[who]) for who in waited]


def _majors(context: Context) -> dict[int, Tools]:
    found = servers(Processes())
    wanted = MAJORS[:1] if context.quick else MAJORS
    if missing := [str(major) for major in wanted if major not in found]:
        raise CouldNotRun(f"no server of {', '.join(missing)} here")
    return {major: found[major] for major in wanted}


@contextlib.contextmanager
def _cluster(tools: Tools) -> Iterator[Target]:
    processes = Processes()
    settings = {"autovacuum": "off", "full_page_writes": "off"}
    settings |= {"event_triggers": "off"} if tools.major >= 17 else {}
    with embedded_cluster(tools, processes, settings) as cluster:
        yield cluster.target()


@contextlib.contextmanager
def _fresh(target: Target) -> Iterator[Target]:
    """A copy of the stage."""
    _execute(target, f"CREATE DATABASE fresh TEMPLATE {STAGE}")
    try:
        yield replace(target, dbname="fresh")
    finally:
        _execute(target, "DROP DATABASE fresh WITH (FORCE)")


def _stage(target: Target) -> None:
    _execute(target, f"CREATE DATABASE {STAGE}")
    _execute(replace(target, dbname=STAGE), SCHEMA)
    _execute(replace(target, dbname=STAGE), "VACUUM ANALYZE")


def _execute(target: Target, statements: str, *, name: str = "stage") -> None:
    with _connected(target, name) as connection:
        connection.execute(statements.encode())


@contextlib.contextmanager
def _connected(target: Target, name: str) -> Iterator[Connection]:
    with psycopg.connect(**target.conninfo(), autocommit=True, application_name=name) as connection:
        yield connection


ROWS = (
    Row(
        "locks",
        "Every lock of a migration is recorded, CONCURRENTLY and single commands included",
        f"≥ {LOCKS_GOAL:.0%} of the locks of {KINDS_LEAST} kinds of command and {ALTERS} ALTERs",
        locks,
        alone=True,
    ),
    Row(
        "blocked-time",
        "A rehearsal's blocked time is what readers and writers wait",
        f"recorded within {BLOCKED_GOAL:.0%} of canaries, ten kinds of command",
        blocked_time,
        alone=True,
    ),
)
