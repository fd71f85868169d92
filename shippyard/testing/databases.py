"""Owns the databases of tests: made from the template a moment before they are asked for.

One stands ready while a test runs, and what a test is done with goes in the background, so that
neither is waited for.
"""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from shippyard.postgres.target import Target
from shippyard.setup.schema import url_of
from shippyard.testing.template import OWNER, connected, drop

PREFIX = "shippyar_test_"
WAIT_S = 120.0


@dataclass(frozen=True)
class ShippyarDatabase:
    """One database of a test. `target` is a superuser's, whom row level security does not hold."""

    target: Target

    @property
    def conninfo(self) -> str:
        """A connection string for libpq and psycopg."""
        return make_conninfo(**self.target.conninfo())

    @property
    def url(self) -> str:
        """A URL for SQLAlchemy and Alembic."""
        return url_of(self.target)

    @contextmanager
    def connect(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """A superuser's connection in autocommit; closed after the block."""
        with psycopg.connect(**self.target.conninfo(), autocommit=True) as connection:
            yield connection

    @contextmanager
    def connect_as(
        self, role: str, user_id: uuid.UUID | str | None = None
    ) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """A connection with the rights of `role`, and no more, on behalf of the person `user_id`.

        None is a session that never said for whom it works.
        """
        with self.connect() as connection:
            connection.execute(sql.SQL("SET SESSION AUTHORIZATION {}").format(sql.Identifier(role)))
            if user_id is not None:
                connection.execute("SELECT set_config('app.user_id', %s, false)", [str(user_id)])
            yield connection


class Databases:
    """Makes databases from one template. Used by one thread at a time; close it at the end."""

    def __init__(self, server: Target, template: str) -> None:
        self._server = server
        self._template = template
        self._makes = ThreadPoolExecutor(1, "make-database")
        self._drops = ThreadPoolExecutor(1, "drop-database")
        self._ready = self._makes.submit(self._make)

    def take(self) -> ShippyarDatabase:
        """A new database, nobody else's.

        Raises:
            psycopg.Error: the server refused.
            TimeoutError: it is not there after two minutes.
        """
        name = self._ready.result(WAIT_S)
        self._ready = self._makes.submit(self._make)
        return ShippyarDatabase(replace(self._server, dbname=name))

    def give_back(self, database: ShippyarDatabase) -> None:
        """Remove a database, soon; whoever is still connected is cut off."""
        self._drops.submit(self._drop, database.target.dbname)

    def close(self) -> None:
        """Remove the one that stands ready, and wait until all are gone."""
        self._drops.submit(self._drop, self._ready.result(WAIT_S))
        self._makes.shutdown()
        self._drops.shutdown()

    def _make(self) -> str:
        name = f"{PREFIX}{uuid.uuid4().hex[:16]}"
        with connected(self._server) as connection:
            # the owner of a database is not copied, and owns the schema public by it
            made = sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}").format(
                *map(sql.Identifier, (name, self._template, OWNER))
            )
            connection.execute(made)
        return name

    def _drop(self, name: str) -> None:
        with connected(self._server) as connection:
            drop(connection, name)
