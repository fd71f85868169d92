"""Owns what a database gets for the time of a recording, and that it is gone afterwards.

Its own event triggers are off meanwhile: what production wrote must not answer to what we make, and
in a sandbox of PostgreSQL 17 and later it would not fire anyway.
"""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from shippyard.postgres.session import Session
from shippyard.postgres.target import Target
from shippyard.postgres.writing import quoted_name, writing_session

SCHEMA = "shippyard_recording"
STATEMENTS = "pg_stat_statements"
SWITCH_SINCE = 170_000
TIMEOUT_S = 60.0

_INSTALL_SQL = Path(__file__).with_name("install.sql").read_text(encoding="utf-8")
_TRIGGERS = ("began", "rewrites", "ended")
_AS = {"O": "ENABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}
_THEIRS_SQL = """
SELECT evtname AS name, evtenabled::text AS state FROM pg_event_trigger WHERE evtenabled <> 'D'
"""
_SWITCH_SQL = """
SELECT split_part(each, '=', 2) AS value
FROM pg_db_role_setting AS s, unnest(s.setconfig) AS each
WHERE s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
AND s.setrole = 0 AND each LIKE 'event_triggers=%'
"""
_COUNTER_SQL = """
SELECT n.nspname AS schema FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
WHERE e.extname = 'pg_stat_statements'
"""
_LOADED_SQL = """
SELECT 'pg_stat_statements' = ANY (
    string_to_array(replace(current_setting('shared_preload_libraries'), ' ', ''), ',')
) AS loaded
"""


@contextlib.contextmanager
def installed(target: Target) -> Iterator[str | None]:
    """Our event triggers in a database, for the length of a block, and its own off.

    Gives the schema in which executed statements are counted, or None when the server doesn't.

    Raises:
        QueryFailed, Unreachable: the server refused, or was lost.
    """
    with contextlib.ExitStack() as undo:
        session = undo.enter_context(writing_session(target, "recording-install"))
        if session.server_version >= SWITCH_SINCE:
            _do(session, "SET event_triggers = off")
        undo.enter_context(_theirs_off(session))
        undo.enter_context(_ours(session))
        if session.server_version >= SWITCH_SINCE:
            undo.enter_context(_switched_on(session, target.dbname))
        undo.enter_context(_whole_pages(session))
        yield _counter(session)


@contextlib.contextmanager
def _theirs_off(session: Session) -> Iterator[None]:
    theirs = {str(row["name"]): _AS[row["state"]] for row in session.query(_THEIRS_SQL)}
    for name in theirs:
        _do(session, f"ALTER EVENT TRIGGER {quoted_name(name)} DISABLE")
    try:
        yield
    finally:
        _theirs_on(session, theirs)


def _theirs_on(session: Session, theirs: Mapping[str, str]) -> None:
    left = {
        str(row["name"]) for row in session.query("SELECT evtname AS name FROM pg_event_trigger")
    }
    for name in theirs.keys() & left:  # the migration may have dropped one
        _do(session, f"ALTER EVENT TRIGGER {quoted_name(name)} {theirs[name]}")


@contextlib.contextmanager
def _ours(session: Session) -> Iterator[None]:
    _do(session, _INSTALL_SQL)
    try:
        yield
    finally:
        for name in _TRIGGERS:
            _do(session, f"DROP EVENT TRIGGER IF EXISTS {SCHEMA}_{name}")
        _do(session, f"DROP SCHEMA {SCHEMA} CASCADE")


@contextlib.contextmanager
def _switched_on(session: Session, dbname: str) -> Iterator[None]:
    """Event triggers fire in this database's new sessions, whatever the sandbox is set to."""
    before = session.query(_SWITCH_SQL)
    database = f"ALTER DATABASE {quoted_name(dbname)}"
    _do(session, f"{database} SET event_triggers = on")
    back = f"SET event_triggers = {before[0]['value']}" if before else "RESET event_triggers"
    try:
        yield
    finally:
        _do(session, f"{database} {back}")


@contextlib.contextmanager
def _whole_pages(session: Session) -> Iterator[None]:
    """A page's first change after a checkpoint is written as a whole, as in production."""
    rows = session.query("SELECT current_setting('full_page_writes')::boolean AS on")
    if rows[0]["on"]:
        yield
        return
    _do(session, "ALTER SYSTEM SET full_page_writes = on")
    _do(session, "SELECT pg_reload_conf()")
    _do(session, "CHECKPOINT")
    try:
        yield
    finally:
        _do(session, "ALTER SYSTEM RESET full_page_writes")
        _do(session, "SELECT pg_reload_conf()")


def _counter(session: Session) -> str | None:
    if not session.query(_LOADED_SQL)[0]["loaded"]:
        return None
    if not (found := session.query(_COUNTER_SQL)):
        _do(session, f"CREATE EXTENSION {STATEMENTS} SCHEMA {SCHEMA}")
        return SCHEMA
    return str(found[0]["schema"])


def _do(session: Session, statement: str) -> None:
    session.query(statement, timeout_s=TIMEOUT_S)
