"""Owns a tree of revisions of every kind for proofs, and databases that stand before them.

Transactional DDL, concurrent builds by a step that looks first and by plain Alembic, a backfill,
several tables at once. Knows nothing of what goes wrong meanwhile.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from shippyard.config.migration import Migration
from shippyard.host.process import Processes
from shippyard.migration.hazards.reading.sql import read_sql
from shippyard.migration.journal import Run
from shippyard.migration.planner import Planner, Prepared
from shippyard.migration.supervise import Supervisor
from shippyard.postgres.embedded import EmbeddedCluster, embedded_cluster
from shippyard.postgres.schema_objects import read_objects
from shippyard.postgres.session import session
from shippyard.postgres.target import Target
from shippyard.postgres.tools import server_tools

OWNER = "shippyard_owner"
TEMPLATE = "before"

ENV = """
from alembic import context

config = context.config


def configure_and_run(**where):
    context.configure(transaction_per_migration=True, **where)
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    configure_and_run(url="postgresql+psycopg://", literal_binds=True)
else:
    configure_and_run(connection=config.attributes["connection"])
"""
INI = "[alembic]\nscript_location = %(here)s\nfile_template = %%(rev)s_%%(slug)s\n"
REVISION = '''"""{slug}"""

import sqlalchemy as sa
from alembic import op

from shippyard.migration import ops

revision = "{revision}"
down_revision = {down!r}


def upgrade():
{upgrade}


def downgrade():
{downgrade}
'''


@dataclass(frozen=True)
class Change:
    """One revision's two ways, as statements of Python."""

    upgrade: str
    downgrade: str = "op.execute('SELECT 1')"


def execute(*statements: str) -> str:
    """Python that executes SQL."""
    return "\n".join(f"op.execute({each!r})" for each in statements)


def write_tree(folder: Path, changes: Mapping[str, Change], down: str | None = None) -> Path:
    """The tree on disk; gives its alembic.ini."""
    (folder / "versions").mkdir(parents=True)
    (folder / "env.py").write_text(ENV)
    (folder / "alembic.ini").write_text(INI)
    for revision, change in changes.items():
        text = REVISION.format(
            slug="step",
            revision=revision,
            down=down,
            upgrade=_indented(change.upgrade),
            downgrade=_indented(change.downgrade),
        )
        (folder / "versions" / f"{revision}_step.py").write_text(text)
        down = revision
    return folder / "alembic.ini"


def _indented(code: str) -> str:
    return "\n".join(f"    {line}" for line in code.splitlines())


@dataclass(frozen=True)
class Yard:
    """A server, and what plans and runs on it."""

    cluster: EmbeddedCluster
    processes: Processes
    planner: Planner
    supervisor: Supervisor

    def target(self, dbname: str) -> Target:
        """How the migrator reaches a database."""
        return self.cluster.target(dbname)

    def copy(self, dbname: str, template: str = TEMPLATE) -> Target:
        """Another database like the template."""
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        self.tell(statement.format(sql.Identifier(dbname), sql.Identifier(template)))
        return self.target(dbname)

    def drop(self, dbname: str) -> None:
        """Away with one."""
        self.tell(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(dbname)))

    def tell(self, statement: sql.Composed | sql.SQL | str, dbname: str = "postgres") -> None:
        """Run statements as superuser."""
        with psycopg.connect(**self.cluster.target(dbname).conninfo(), autocommit=True) as opened:
            opened.execute(statement.encode() if isinstance(statement, str) else statement)

    def ask(self, question: str, dbname: str) -> list[tuple[Any, ...]]:
        """The rows of an answer."""
        with psycopg.connect(**self.cluster.target(dbname).conninfo(), autocommit=True) as opened:
            return opened.execute(question.encode()).fetchall()

    def objects(self, dbname: str) -> dict[str, str]:
        """The schema of a database, object by object."""
        with session(self.target(dbname), "proof") as opened:
            return read_objects(opened.query)

    def apply(self, dbname: str, prepared: Prepared) -> Iterator[str]:
        """Run a plan's SQL statement by statement, without a runner; gives each revision's name."""
        with psycopg.connect(**self.target(dbname).conninfo(), autocommit=True) as opened:
            for step in prepared.rest:
                for each in read_sql(
                    prepared.plan.rendered[step.revision].sql, in_transaction=True
                ):
                    opened.execute(each.text.encode())
                yield step.revision


@contextmanager
def yard(folder: Path, setup: str, settings: Mapping[str, str] | None = None) -> Iterator[Yard]:
    """A server whose template database holds what `setup` makes, for the length of a block."""
    processes = Processes()
    try:
        with embedded_cluster(
            server_tools(processes), processes, {"max_connections": "100", **(settings or {})}
        ) as cluster:
            supervisor = Supervisor(processes)
            planner = Planner(folder / "plans", supervisor)
            made = Yard(cluster, processes, planner, supervisor)
            made.tell(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
            made.tell(setup, TEMPLATE)
            yield made
    finally:
        processes.end_all()


def run_of(run_id: str, prepared: Prepared, events: list[dict[str, Any]], **more: Any) -> Run:
    """A run as the journal has it."""
    plan = prepared.plan
    made = Run(
        id=run_id,
        database=plan.database,
        from_revision=plan.current,
        to_revision=plan.target,
        state="interrupted",
        requested_by="proof",
        content_hash=plan.content_hash,
        plan_hash=None,
        way="up",
        of_run=None,
        backup_id=None,
        started_at=datetime.now(UTC),
        finished_at=None,
        error=None,
        detail={"steps": events},
    )
    return replace(made, **more)


def policy(ini: Path, **more: Any) -> Migration:
    """A policy under which nothing waits long."""
    return Migration(alembic_ini=ini, **{"retry_pause_s": 0.05, "lock_attempts": 300, **more})


@contextmanager
def beside(work: Callable[[psycopg.Connection[Any], int], None], target: Target) -> Iterator[None]:
    """An application that does its work again and again, on its own connection, during a block.

    What fails is tried again: tables change under it.
    """
    stop = threading.Event()

    def go_on() -> None:
        turn = 0
        with psycopg.connect(**target.conninfo(), application_name="proof-app") as opened:
            while not stop.wait(0.002):
                turn += 1
                try:
                    work(opened, turn)
                    opened.commit()
                except psycopg.Error:
                    opened.rollback()

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10.0)
