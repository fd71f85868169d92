"""Runs a step of an author as a revision would: in a transaction, with Alembic's `op`."""

import contextlib
import io
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
from alembic.config import Config
from alembic.operations import Operations
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from shippyard.postgres.target import Target
from shippyard.setup.schema import url_of
from tests.integration.migrations_tree.shippyar_tree import MIGRATIONS

Step = Callable[[], None]


class Desk:
    """A database with some rows, and steps taken on it."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.attributes: dict[str, Any] = {"lock_attempts": 3, "retry_pause_s": 0.05}
        self.settings = "-c lock_timeout=100ms"

    def take(self, step: Step) -> None:
        """One try at a revision that has only this step."""
        engine = create_engine(
            url_of(self.target), poolclass=NullPool, connect_args={"options": self.settings}
        )
        with engine.connect() as connection:
            context = self._context(connection=connection)
            with context.begin_transaction(_per_migration=True), Operations.context(context):
                step()

    def written(self, step: Step) -> str:
        """The SQL of a step, without a database."""
        text = io.StringIO()
        context = self._context(
            dialect_name="postgresql", opts={"as_sql": True, "output_buffer": text}
        )
        with context.begin_transaction(_per_migration=True), Operations.context(context):
            step()
        return text.getvalue()

    def execute(self, *statements: str) -> None:
        with self.connect() as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def scalar(self, question: str) -> Any:
        with self.connect() as connection:
            row = connection.execute(question.encode()).fetchone()
            return row[0] if row else None

    @contextlib.contextmanager
    def held(self, statement: str) -> Iterator[psycopg.Connection[Any]]:
        """A transaction of somebody else's, open meanwhile."""
        with psycopg.connect(**self.target.conninfo()) as connection:
            connection.execute(statement.encode())
            yield connection

    def connect(self) -> "psycopg.Connection[Any]":
        return psycopg.connect(**self.target.conninfo(), autocommit=True)

    def _context(self, **where: Any) -> MigrationContext:
        config = Config(MIGRATIONS / "alembic.ini")
        config.attributes.update(self.attributes)
        environment = EnvironmentContext(config, ScriptDirectory.from_config(config))
        opts = {"transaction_per_migration": True, **where.pop("opts", {})}
        return MigrationContext.configure(environment_context=environment, opts=opts, **where)
