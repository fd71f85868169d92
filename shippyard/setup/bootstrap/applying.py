"""Owns the sessions of a bootstrap: reads a server, runs a plan on it, and says what it refused.

What belongs to the whole server goes first; then each database is one transaction, so that a
refusal leaves it as it was.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from shippyard.config.models import Config
from shippyard.postgres.session import one_line
from shippyard.postgres.target import Target, target_of
from shippyard.setup.bootstrap.found import (
    Ask,
    FoundCluster,
    FoundDatabase,
    fresh_database,
    read_cluster,
    read_database,
)
from shippyard.setup.bootstrap.inside import inside_flaws, inside_steps
from shippyard.setup.bootstrap.model import (
    BootstrapRefused,
    NotPermitted,
    Plan,
    ServerUnreachable,
    Step,
    trusted,
)
from shippyard.setup.bootstrap.passwords import Passwords, read_passwords, verifier_for
from shippyard.setup.bootstrap.roles import (
    database_steps,
    role_flaws,
    role_notes,
    role_steps,
)
from shippyard.setup.bootstrap.wanted import WantedCluster, WantedDatabase, wanted_clusters

MAINTENANCE = "postgres"
CONNECT_TIMEOUT_S = 5
STATEMENT_TIMEOUT_S = 60
LOCK_TIMEOUT_S = 2
NOT_PERMITTED = "42501"

Connection = psycopg.Connection[dict[str, Any]]


def plans(config: Config, user: str) -> tuple[Plan, ...]:
    """What each server of the configuration lacks and has too much of; changes nothing.

    Raises:
        BootstrapRefused: config can't be followed, or a server gave no answer or refused.
    """
    return tuple(_plan(wanted, user) for wanted in wanted_clusters(config))


def apply(config: Config, user: str) -> tuple[Plan, ...]:
    """Make every server as it should be; gives the plans that were run, with what is still to see.

    Raises:
        BootstrapRefused: as `plans`, or a statement was refused: what ran before it stays, but for
            statements in the same database.
    """
    return tuple(_applied(wanted, user) for wanted in wanted_clusters(config))


def _plan(wanted: WantedCluster, user: str) -> Plan:
    passwords = read_passwords(wanted.roles)
    with _session(wanted, user, MAINTENANCE) as connection:
        found = read_cluster(_asking(connection))
    cluster_steps = _cluster_steps(wanted, found, passwords)
    insides = [(each, _inside(wanted, each, found, user)) for each in wanted.databases]
    steps = (step for each, inside in insides for step in inside_steps(each, inside, wanted))
    flaws = (flaw for each, inside in insides for flaw in inside_flaws(each, inside, wanted))
    return Plan(
        wanted.name,
        str(_target(wanted, user, MAINTENANCE)),
        (*cluster_steps, *steps),
        (*role_flaws(wanted, found), *flaws),
        tuple(role_notes(wanted, found, passwords)),
    )


def _applied(wanted: WantedCluster, user: str) -> Plan:
    """The plan of a database that is made on the way is only known once it is there."""
    passwords = read_passwords(wanted.roles)
    _refuse_unread(passwords)
    with _session(wanted, user, MAINTENANCE) as connection:
        found = read_cluster(_asking(connection))
        done = _cluster_steps(wanted, found, passwords)
        for step in done:
            _run(connection, step)
    for each in wanted.databases:
        done = (*done, *_applied_inside(wanted, each, user))
    return replace(_plan(wanted, user), steps=done)


def _applied_inside(wanted: WantedCluster, database: WantedDatabase, user: str) -> tuple[Step, ...]:
    with _session(wanted, user, database.dbname) as connection, connection.transaction():
        found = read_database(_asking(connection), database, wanted)
        steps = tuple(inside_steps(database, found, wanted))
        for step in steps:
            _run(connection, step)
    return steps


def _cluster_steps(
    wanted: WantedCluster, found: FoundCluster, passwords: Passwords
) -> tuple[Step, ...]:
    of_databases = (step for each in wanted.databases for step in database_steps(each, found))
    return (*role_steps(wanted, found, passwords), *of_databases)


def _inside(
    wanted: WantedCluster, database: WantedDatabase, found: FoundCluster, user: str
) -> FoundDatabase:
    if database.dbname not in found.owners:
        return fresh_database(database.dbname)
    with _session(wanted, user, database.dbname) as connection:
        return read_database(_asking(connection), database, wanted)


def _asking(connection: Connection) -> Ask:
    def ask(question: str, params: Mapping[str, Any] | None) -> Sequence[Mapping[str, Any]]:
        with _refusals(connection.info.dbname):
            return connection.execute(sql.SQL(trusted(question)), params).fetchall()

    return ask


def _run(connection: Connection, step: Step) -> None:
    with _refusals(step.shown):
        statement = step.statement
        if step.password:
            verifier = sql.Literal(verifier_for(connection, step.password))
            statement = sql.Composed([statement, sql.SQL(" PASSWORD "), verifier])
        connection.execute(statement)


def _target(wanted: WantedCluster, user: str, dbname: str) -> Target:
    """As the administrator: libpq finds the password, in PGPASSWORD or ~/.pgpass."""
    login = wanted.first.monitor.model_copy(
        update={"user": user, "password_credential": None, "passfile": None}
    )
    return replace(target_of(wanted.first, login), dbname=dbname, sslcert=None, sslkey=None)


@contextlib.contextmanager
def _session(wanted: WantedCluster, user: str, dbname: str) -> Iterator[Connection]:
    target = _target(wanted, user, dbname)
    try:
        connection: Connection = psycopg.connect(
            **target.conninfo(),
            autocommit=True,
            row_factory=dict_row,
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name="shippyard:bootstrap",
            options=f"-c statement_timeout={STATEMENT_TIMEOUT_S}s"
            f" -c lock_timeout={LOCK_TIMEOUT_S}s -c search_path=pg_catalog,pg_temp",
        )
    except psycopg.Error as error:
        raise ServerUnreachable(
            f"{target}: {one_line(error)}; name a superuser who is let in with --user"
        ) from None
    with contextlib.closing(connection):
        yield connection


@contextlib.contextmanager
def _refusals(what: str) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        kind = NotPermitted if error.sqlstate == NOT_PERMITTED else BootstrapRefused
        raise kind(f"{' '.join(what.split())}: {one_line(error)}") from None


def _refuse_unread(passwords: Passwords) -> None:
    for role, reason in passwords.unread.items():
        raise BootstrapRefused(f"no password for {role}: {reason}")
