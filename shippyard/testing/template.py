"""Owns the database that all others are copies of: at head, with its roles' rights and few seeds.

Its name is made from the content of the tree and of what builds it: a changed tree finds no
template of its own and makes one; the ones of before go by and by. A lock on the server makes it
once, however many processes ask.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from shippyard.config.models import Config
from shippyard.host.process import Processes
from shippyard.postgres.target import Target
from shippyard.setup import bootstrap
from shippyard.setup.bootstrap.applying import apply
from shippyard.setup.schema import upgrade
from shippyard.setup.seed import load_seeds

PREFIX = "shippyar_template_"
MAKING = "shippyar_making_template"
OWNER = "shippyar_owner"
LOCK_KEY = 0x5348_4950  # of the server, for whoever makes a template
LOCK_TIMEOUT_S = 180
KEPT = 5  # templates on a server: each checkout that is worked on has one
MADE_OF = ("*.py", "*.sql", "*.ini", "*.mako")

Connection = psycopg.Connection[tuple[Any, ...]]


def make_template(server: Target, tree: Path, processes: Processes) -> str:
    """The name of the template of this tree; it is made when it is not there.

    Raises:
        BootstrapRefused, SchemaFailed, SeedFailed: it can't be made; says why.
    """
    name = template_name(tree)
    with connected(server) as connection, _alone(connection):
        if name not in _templates(connection):
            _make(connection, server, tree, processes)
            _publish(connection, name)
            _drop_old(connection)
    return name


def template_name(tree: Path) -> str:
    """Made from every file that has a part in what the template is."""
    digest = hashlib.sha256()
    for folder in (tree, Path(bootstrap.__file__).parent):
        for path in sorted(path for kind in MADE_OF for path in folder.rglob(kind)):
            digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return PREFIX + digest.hexdigest()[:16]


@contextmanager
def connected(target: Target) -> Iterator[Connection]:
    """A superuser's connection for statements that no transaction may hold."""
    options = f"-c lock_timeout={LOCK_TIMEOUT_S}s"
    with psycopg.connect(**target.conninfo(), autocommit=True, options=options) as connection:
        yield connection


def drop(connection: Connection, name: str) -> None:
    """Remove a database with whoever is still connected to it; none is fine."""
    connection.execute(
        sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    )


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    connection.execute("SELECT pg_advisory_lock(%s)", [LOCK_KEY])
    try:
        yield
    finally:
        connection.execute("SELECT pg_advisory_unlock(%s)", [LOCK_KEY])


def _make(connection: Connection, server: Target, tree: Path, processes: Processes) -> None:
    """What another process left half made is made again. What is made belongs to the owner."""
    drop(connection, MAKING)
    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(MAKING)))
    making = replace(server, dbname=MAKING)
    apply(_config(making), server.user)
    connection.execute(
        sql.SQL("ALTER ROLE {} IN DATABASE {} SET role = {}").format(
            *map(sql.Identifier, (server.user, MAKING, OWNER))
        )
    )
    upgrade(making, processes, tree / "alembic.ini")
    load_seeds(making, "testing", tree / "seeds")


def _publish(connection: Connection, name: str) -> None:
    """Only whole templates have the name; nobody connects to one, so it can always be copied."""
    making, whole = sql.Identifier(MAKING), sql.Identifier(name)
    connection.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(making, whole))
    connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(whole))


def _templates(connection: Connection) -> list[str]:
    """Names of the whole ones, newest first."""
    question = "SELECT datname FROM pg_database WHERE starts_with(datname, %s) ORDER BY oid DESC"
    return [str(name) for (name,) in connection.execute(question, [PREFIX])]


def _drop_old(connection: Connection) -> None:
    for name in _templates(connection)[KEPT:]:
        drop(connection, name)


def _config(target: Target) -> Config:
    """What bootstrap is told: one database and the roles of the house."""
    database = {
        "name": "shippyar",
        "host": target.host,
        "port": target.port,
        "dbname": target.dbname,
        "monitor": {"user": "shippyard_monitor"},
        "backup": {"user": "backup_user"},
        "migrator": {"user": "shippyar_migrator"},
    }
    return Config.model_validate(
        {
            "environment": "testing",
            "daemon": {"state_dir": "/nonexistent"},
            "backup": {"dir": "/nonexistent"},
            "databases": [database],
        }
    )
