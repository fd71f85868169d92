"""What the tests of the Shippyar tree share: where it is, a server, and the two ways to run it."""

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from shippyard.host.process import Completed, Processes
from shippyard.postgres.embedded import EmbeddedCluster
from shippyard.postgres.schema_objects import read_objects
from shippyard.postgres.session import session
from shippyard.postgres.target import Target
from shippyard.postgres.tools import Tools
from shippyard.setup.schema import dump_schema, url_of

MIGRATIONS = Path(__file__).parents[3] / "migrations"


@dataclass(frozen=True)
class Server:
    """One running PostgreSQL and the programs of its version."""

    tools: Tools
    cluster: EmbeddedCluster
    processes: Processes

    def dump(self, target: Target) -> str:
        return dump_schema(target, self.tools, self.processes)


class PlainAlembic(Protocol):
    """Runs the `alembic` program on a tree, with a URL or without."""

    def __call__(
        self, *arguments: str, url: str | None = None, tree: Path = MIGRATIONS
    ) -> Completed: ...


def move(target: Target, revision: str) -> None:
    """Bring a database up or down to a revision on a connection of ours, as the daemon does."""
    down = revision.startswith("-") or revision == "base"
    with _configured(target) as config:
        (command.downgrade if down else command.upgrade)(config, revision)


def check(target: Target) -> None:
    """Raise when the models and a database differ."""
    with _configured(target) as config:
        command.check(config)


def objects_of(target: Target) -> dict[str, str]:
    """Every object of the schema, with its definition."""
    with session(target, "test") as opened:
        return read_objects(opened.query)


def rendered() -> str:
    """The SQL of every revision, made without a database."""
    text = io.StringIO()
    command.upgrade(Config(MIGRATIONS / "alembic.ini", output_buffer=text), "head", sql=True)
    return text.getvalue()


@contextlib.contextmanager
def _configured(target: Target) -> Iterator[Config]:
    config = Config(MIGRATIONS / "alembic.ini", stdout=io.StringIO())
    engine = create_engine(url_of(target), poolclass=NullPool)
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        yield config
