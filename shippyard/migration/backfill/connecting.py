"""Owns the connection of a worker that no revision started."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import psycopg
from sqlalchemy import Connection, NullPool, create_engine

from shippyard.postgres.target import Target

CONNECT_TIMEOUT_S = 10
# what a batch does not set itself: expressions are an author's, and a batch must end some day
OPTIONS = "-c lock_timeout=200ms -c statement_timeout=10min"


def connected(target: Target, name: str) -> AbstractContextManager[Connection]:
    """A connection in autocommit for the length of a block.

    Raises:
        OperationalError: there is none to be had.
    """
    return connected_by(target.conninfo(), name)


@contextmanager
def connected_by(conninfo: Mapping[str, Any], name: str) -> Iterator[Connection]:
    """The same, by what libpq is told."""

    def connect() -> psycopg.Connection[Any]:
        return psycopg.connect(
            **conninfo,
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name=f"shippyard:backfill:{name}",
            options=OPTIONS,
            keepalives=1,
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
        )

    engine = create_engine(
        "postgresql+psycopg://",
        creator=connect,
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
    )
    with engine.connect() as connection:
        yield connection
