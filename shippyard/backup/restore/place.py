"""Owns where a dump goes: a database that is empty, or is made for it. Nothing is ever cleared.

Says what is in the way, makes a database as the one that was dumped, and gives it its settings.
"""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from shippyard.backup.manifest import Environment
from shippyard.backup.restore.archive import RestoreBlocked, RestoreFailed
from shippyard.backup.restore.contents import Selection
from shippyard.host.secrets import MASK
from shippyard.postgres.locks import LockTaken, backup_key, locks
from shippyard.postgres.session import QueryFailed, session
from shippyard.postgres.target import Target
from shippyard.postgres.writing import quoted_name, quoted_text, writing_session

CREATE_TIMEOUT_S = 120.0
MAINTENANCE = "postgres"

# Settings whose value is a list of names, each quoted in the catalog already.
LISTS = frozenset(
    {
        "search_path",
        "temp_tablespaces",
        "session_preload_libraries",
        "shared_preload_libraries",
        "local_preload_libraries",
        "unix_socket_directories",
    }
)

_WHAT_IS_THERE = Path(__file__).with_name("emptiness.sql").read_text()
_RELATION = (
    "SELECT 1 AS one FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = %(schema)s AND c.relname = %(table)s"
)
_MAY_MAKE = "SELECT rolsuper OR rolcreatedb AS may FROM pg_roles WHERE rolname = current_user"
_SCHEMA = "SELECT 1 AS one FROM pg_namespace WHERE nspname = %(schema)s"


class TargetNotEmpty(RestoreBlocked):
    """Something is in the way; the message lists it. Nothing was changed."""


@dataclass(frozen=True)
class Found:
    """The target database before anything was done. `things` are the first of `count`.

    `may_make` says whether the role that restores may make databases.
    """

    exists: bool
    may_make: bool = True
    things: tuple[str, ...] = ()
    count: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether a whole dump may go there."""
        return not self.count


def maintenance_of(into: Target) -> Target:
    """The database from which others are made."""
    return replace(into, dbname=MAINTENANCE)


def look_at(into: Target) -> Found:
    """What is in the target database.

    Raises:
        Unreachable, QueryFailed: the server gave no answer.
    """
    with session(maintenance_of(into), "restore") as opened:
        question = "SELECT 1 AS one FROM pg_database WHERE datname = %(name)s"
        exists = bool(opened.query(question, {"name": into.dbname}))
        may_make = opened.query(_MAY_MAKE)[0]["may"]
    if not exists:
        return Found(exists, may_make)
    with session(into, "restore") as opened:
        rows = opened.query(_WHAT_IS_THERE)
    count = rows[0]["total"] if rows else 0
    return Found(exists, may_make, tuple(row["what"] for row in rows), count)


def refuse_taken(into: Target, found: Found, only: Selection | None) -> None:
    """Nothing, when the restore would not touch what is there.

    Raises:
        TargetNotEmpty: it would.
        RestoreBlocked: a database has to be made, and the role may not make any.
    """
    if not found.may_make:
        _refuse_making(into, found, only)
    if only is None and not found.is_empty:
        more = f" and {found.count - len(found.things)} more"
        raise TargetNotEmpty(
            f"database {into.dbname} on {into.host}:{into.port} is not empty: "
            f"{', '.join(found.things)}{more if found.count > len(found.things) else ''}; "
            "name a new database with --dbname"
        )
    if only and found.exists:
        _refuse_taken_name(into, only)


@contextlib.contextmanager
def only_restore_into(into: Target) -> Iterator[None]:
    """One restore at a time into a database, by whichever program.

    Raises:
        RestoreFailed: one is under way.
        Unreachable, QueryFailed: the server gave no answer.
    """
    with locks(maintenance_of(into), "restore-lock") as held:
        try:
            held.take(backup_key(into.dbname, "restore"))
        except LockTaken as taken:
            raise RestoreFailed(
                f"a restore into {into.dbname} is under way ({taken}); "
                "wait for its end, see `shippyard ctl restore status`"
            ) from None
        yield


def make_database(into: Target, like: Environment | None) -> None:
    """A database for the dump, encoded and collated as the one that was dumped.

    Raises:
        RestoreFailed: the server refused; says what to do.
    """
    parts = [f"CREATE DATABASE {quoted_name(into.dbname)} TEMPLATE template0"]
    if like and like.encoding:
        parts.append(f"ENCODING {quoted_text(like.encoding)}")
    if like and like.collation:
        parts.append(f"LC_COLLATE {quoted_text(like.collation)}")
        parts.append(f"LC_CTYPE {quoted_text(like.collation)}")
    try:
        with writing_session(maintenance_of(into), "restore") as opened:
            opened.query(" ".join(parts), timeout_s=CREATE_TIMEOUT_S)
    except QueryFailed as error:
        raise RestoreFailed(_why_not_made(into, str(error))) from None


def drop_database(into: Target) -> None:
    """Take away a database that this restore made for itself."""
    with writing_session(maintenance_of(into), "restore") as opened:
        statement = f"DROP DATABASE IF EXISTS {quoted_name(into.dbname)}"
        opened.query(statement, timeout_s=CREATE_TIMEOUT_S)


def apply_settings(into: Target, dbname: str, environment: Environment | None) -> tuple[str, ...]:
    """Give the database what ALTER DATABASE and ALTER ROLE IN DATABASE had set; gives the notes.

    `dbname` is what the database was called when it was dumped.
    """
    wanted = list(setting_statements(into.dbname, dbname, environment))
    notes = []
    if wanted:
        with writing_session(into, "restore") as opened:
            for statement in wanted:
                try:
                    opened.query(statement)
                except QueryFailed as error:
                    notes.append(f"not applied: {statement} ({error})")
    return tuple(notes)


def setting_statements(into: str, dbname: str, environment: Environment | None) -> Iterable[str]:
    """The statements that set for `into` what was set for `dbname`."""
    for key, settings in (environment.role_settings if environment else {}).items():
        database, _, role = key.partition("/")
        if database != dbname:
            continue
        subject = f"DATABASE {quoted_name(into)}"
        if role:
            subject = f"ROLE {quoted_name(role)} IN {subject}"
        for setting in settings:
            name, _, value = setting.partition("=")
            if MASK in value:
                continue  # the manifest keeps no secret; the comparison afterwards says so
            said = value if name in LISTS else quoted_text(value)
            yield f"ALTER {subject} SET {quoted_name(name)} TO {said or quoted_text('')}"


def _refuse_making(into: Target, found: Found, only: Selection | None) -> None:
    if not found.exists:
        raise RestoreBlocked(
            f"role {into.user} may not make database {into.dbname}; {_grant(into)}"
        )
    if only and only.into_schema:
        raise RestoreBlocked(
            "--into-schema goes by way of a database of its own, and role "
            f"{into.user} may make none; {_grant(into)}"
        )


def _refuse_taken_name(into: Target, only: Selection) -> None:
    wanted = only.into_schema or only.schema
    by_table = only.table is not None and only.into_schema is None
    named = {"schema": wanted, "table": only.table or ""}
    with session(into, "restore") as opened:
        taken = opened.query(_RELATION if by_table else _SCHEMA, named)
        missing = by_table and not opened.query(_SCHEMA, named)
    if taken:
        what = f"table {wanted}.{only.table}" if by_table else f"schema {wanted}"
        raise TargetNotEmpty(
            f"{what} is in {into.dbname} already; restore it beside with "
            f"--into-schema {wanted}_restored, or into another database with --dbname"
        )
    if missing:
        raise RestoreBlocked(
            f"there is no schema {wanted} in {into.dbname}; "
            f"run: CREATE SCHEMA {quoted_name(wanted)}"
        )


def _why_not_made(into: Target, said: str) -> str:
    made = f"database {into.dbname} can't be made: {said}"
    if "permission denied" in said:
        return f"{made}; {_grant(into)}"
    if "locale" in said or "collation" in said.lower():
        return (
            f"{made}; make the locale on this machine, or make the database yourself "
            "and name it with --dbname"
        )
    return made


def _grant(into: Target) -> str:
    return f"as a superuser run: ALTER ROLE {quoted_name(into.user)} CREATEDB"
