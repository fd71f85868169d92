"""Owns running a case of the corpus on a real server, and saying what it did to it.

After each statement, and before each commit, the session that ran it is asked what it holds and
what it read. Knows no rule of ours.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from psycopg.rows import dict_row
from sqlalchemy.pool import NullPool

from bench.hazard_cases import BEFORE, Case
from shippyard.migration.child import alembic_config
from shippyard.postgres.schema_objects import differences, read_objects
from shippyard.postgres.target import Target

LOCK_TIMEOUT_MS, STATEMENT_TIMEOUT_MS = 1234, 20_000
STRONG = frozenset({"ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"})
ROWS_MANY = 2000
WAY_BACK = frozenset({"differs", "loses"})

LOCKS_SQL = """
SELECT l.mode, c.relname FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c ON c.oid = l.relation
WHERE l.pid = pg_catalog.pg_backend_pid() AND l.granted AND c.relnamespace >= 2200
"""
WORK_SQL = """
SELECT relname, seq_tup_read AS read, n_tup_upd + n_tup_del AS written
FROM pg_catalog.pg_stat_xact_user_tables
"""
FILES_SQL = """
SELECT oid::int8, relname, relfilenode::int8 AS file FROM pg_catalog.pg_class
WHERE relnamespace >= 2200 AND relkind IN ('r', 'm', 'i') AND relfilenode <> 0
AND relnamespace <> 'pg_toast'::regnamespace AND oid >= 16384
"""
INVALID_SQL = """
SELECT indexrelid::regclass::text AS name FROM pg_catalog.pg_index
WHERE NOT indisvalid
AND (SELECT relkind FROM pg_catalog.pg_class WHERE oid = indexrelid) = 'i'
"""
COLUMNS_SQL = """
SELECT c.relname, a.attname FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace AND a.attnum > 0
AND NOT a.attisdropped AND c.relname <> 'alembic_version' ORDER BY 1, 2
"""


@dataclass
class Seen:
    """What a case did, one word-like line for each thing."""

    effects: set[str] = field(default_factory=set)
    error: str = ""
    counted: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def hurts(self) -> set[str]:
        """All that its way up does that is more than a lock held for a moment."""
        return {each for each in self.effects - WAY_BACK if not each.startswith("locks ")}


def shows(case: Case, seen: Seen) -> bool:
    """True when a server did to a case what the case says; to a safe one nothing that hurts."""
    if case.label == "safe":
        return not seen.hurts
    return bool(case.proof) and set(case.proof) <= seen.effects


@dataclass(frozen=True)
class Stage:
    """Where a case is run; `looker` is a session that only looks."""

    case: Case
    folder: Path
    target: Target
    looker: Any


def witness(case: Case, folder: Path, target: Target) -> Seen:
    """Run a case, whose tree is in `folder`, on an empty database; say what it did."""
    seen = Seen()
    with psycopg.connect(**target.conninfo(), autocommit=True, row_factory=dict_row) as looker:
        _prepare(looker, folder, target)
        before, stage = _state(looker), Stage(case, folder, target, looker)
        with _meanwhile(case, target):
            _up(stage, seen)
        _back(stage, seen, before)
    return seen


def _prepare(looker: Any, folder: Path, target: Target) -> None:
    with _watched(target, Seen(), watching=False) as connection:
        _move(folder, connection, BEFORE)
    looker.execute("ANALYZE")


def _up(stage: Stage, seen: Seen) -> None:
    looker, files = stage.looker, _files(stage.looker)
    mine = seen if stage.case.way == "up" else Seen()
    with _watched(stage.target, mine) as connection:
        mine.error = _moved(stage.folder, connection, "head")
        if mine.error and _timeout(connection) == f"{LOCK_TIMEOUT_MS}ms":
            mine.effects.add("settings lost")
    if mine.error:
        mine.effects.add(f"fails {mine.error}")
    _compare_files(files, looker, mine)
    if stage.case.old_code:
        _try_old_code(stage.case, looker, mine)


def _back(stage: Stage, seen: Seen, before: "State") -> None:
    looker = stage.looker
    if seen.error:
        if differences(before.objects, _state(looker).objects):
            seen.effects.add("half")
        return
    files = _files(looker)
    mine = seen if stage.case.way == "down" else Seen()
    with _watched(stage.target, mine) as connection:
        mine.error = _moved(stage.folder, connection, BEFORE, down=True)
    if mine.error:
        mine.effects.add(f"fails {mine.error}")
    if stage.case.way == "down":
        _compare_files(files, looker, mine)
    after = _state(looker)
    if differences(before.objects, after.objects):
        seen.effects.add("differs")
    if after.lost(before):
        seen.effects.add("loses")


@dataclass(frozen=True)
class State:
    """A database as it is: its objects, and a digest of each column."""

    objects: Mapping[str, str]
    columns: Mapping[tuple[str, str], str]

    def lost(self, before: "State") -> list[tuple[str, str]]:
        """Columns that hold something else than before, or are gone."""
        return [key for key, was in before.columns.items() if self.columns.get(key) != was]


def _state(looker: Any) -> State:
    def ask(question: str) -> list[dict[str, Any]]:
        cursor = looker.execute(question)
        return list(cursor.fetchall()) if cursor.description else []

    objects = {
        name: said for name, said in read_objects(ask).items() if "alembic_version" not in name
    }
    columns = {}
    for row in ask(COLUMNS_SQL):
        table, column = row["relname"], row["attname"]
        digest = f'SELECT md5(string_agg("{column}"::text, \',\' ORDER BY "{column}"::text)) AS d'
        columns[table, column] = str(ask(f'{digest} FROM public."{table}"')[0]["d"])
    return State(objects, columns)


def _files(looker: Any) -> dict[int, tuple[str, int]]:
    return {row["oid"]: (row["relname"], row["file"]) for row in looker.execute(FILES_SQL)}


def _compare_files(before: Mapping[int, tuple[str, int]], looker: Any, seen: Seen) -> None:
    after = _files(looker)
    for oid, (name, file) in before.items():
        if oid in after and after[oid][1] != file:
            seen.effects.add(f"rewrites {name}")
    if looker.execute(INVALID_SQL).fetchall():
        seen.effects.add("invalid")


def _try_old_code(case: Case, looker: Any, seen: Seen) -> None:
    try:
        with looker.transaction(force_rollback=True):
            looker.execute(case.old_code)
    except psycopg.Error:
        seen.effects.add("breaks")


@contextmanager
def _meanwhile(case: Case, target: Target) -> Iterator[None]:
    if not case.meanwhile:
        yield
        return
    with psycopg.connect(**target.conninfo(), autocommit=True) as other:
        other.execute(case.meanwhile.encode())
        yield


@contextmanager
def _watched(target: Target, seen: Seen, *, watching: bool = True) -> Iterator[sa.Connection]:
    options = f"-c lock_timeout={LOCK_TIMEOUT_MS} -c statement_timeout={STATEMENT_TIMEOUT_MS}"
    engine = sa.create_engine(
        "postgresql+psycopg://",
        connect_args={**target.conninfo(), "options": options},
        poolclass=NullPool,
    )
    if watching:
        _listen(engine, seen)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def _listen(engine: sa.Engine, seen: Seen) -> None:
    def executed(connection: sa.Connection, _: Any, statement: str, *__: Any) -> None:
        if not statement.startswith(("UPDATE", "SELECT")):  # a loop's: the commit will do
            _look(connection, seen)
        raw = connection.connection.driver_connection
        if raw is not None and raw.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
            seen.counted = {row["relname"]: row for row in _work(connection)}

    def committing(connection: sa.Connection) -> None:
        _look(connection, seen)
        seen.counted = {row["relname"]: row for row in _work(connection)}

    sa.event.listen(engine, "after_cursor_execute", executed)
    sa.event.listen(engine, "commit", committing)


def _look(connection: sa.Connection, seen: Seen) -> None:
    raw = connection.connection.driver_connection
    if raw is None or raw.info.transaction_status == psycopg.pq.TransactionStatus.INERROR:
        return
    with raw.cursor(row_factory=dict_row) as cursor:
        strong = {
            (row["mode"], row["relname"])
            for row in cursor.execute(LOCKS_SQL).fetchall()
            if row["mode"] in STRONG
        }
        seen.effects |= {f"locks {mode} {name}" for mode, name in strong}
        timeout = cursor.execute("SHOW lock_timeout").fetchone()["lock_timeout"]
    for row in _work(connection):
        _worked(row, strong, seen)
    if strong and timeout in {"0", "10min"}:
        seen.effects.add("unlimited")


def _work(connection: sa.Connection) -> list[dict[str, Any]]:
    raw = connection.connection.driver_connection
    assert raw is not None
    with raw.cursor(row_factory=dict_row) as cursor:
        return list(cursor.execute(WORK_SQL).fetchall())


def _since(row: Mapping[str, Any], counted: Mapping[str, Any], what: str) -> int:
    """What was done since the last commit: the server goes on counting until it has reported."""
    now, before = int(row[what]), int(counted.get(what, 0))
    return now - before if now >= before else now


def _worked(row: Mapping[str, Any], strong: set[tuple[str, str]], seen: Seen) -> None:
    """What the transaction has read and written so far, and what it holds meanwhile."""
    name = row["relname"]
    counted = seen.counted.get(name, {})
    if _since(row, counted, "read") >= ROWS_MANY and strong:
        seen.effects.add(f"scans {name}")
    if _since(row, counted, "written") >= ROWS_MANY:
        seen.effects.add(f"rows {name}")
        if any(mode == "AccessExclusiveLock" for mode, _ in strong):
            seen.effects.add("rows under a lock")


def _timeout(connection: sa.Connection) -> str:
    connection.rollback()
    return str(connection.exec_driver_sql("SHOW lock_timeout").scalar())


def _moved(folder: Path, connection: sa.Connection, revision: str, *, down: bool = False) -> str:
    """The code of what went wrong, or ""."""
    try:
        _move(folder, connection, revision, down=down)
    except Exception as error:  # noqa: BLE001  the kind of failure is what is asked for
        original = getattr(error, "orig", None) or error
        return str(getattr(original, "sqlstate", None) or type(original).__name__)
    return ""


def _move(folder: Path, connection: sa.Connection, revision: str, *, down: bool = False) -> None:
    config: Config = alembic_config(str(folder), "alembic.ini", ".")
    config.attributes["connection"] = connection
    (command.downgrade if down else command.upgrade)(config, revision)
