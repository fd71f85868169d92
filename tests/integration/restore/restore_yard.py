"""A database with a published dump, and what restores it: by the daemon's methods, or as typed."""

from dataclasses import dataclass, replace
from typing import Any

import psycopg
from click.testing import CliRunner

from shippyard.backup.restore import methods
from shippyard.backup.restore.course import Means
from shippyard.backup.restore.dumps import IntoDatabase
from shippyard.backup.restore.files import IntoFolder
from shippyard.backup.restore.service import Restores
from shippyard.cli.exits import Problem
from shippyard.cli.restore import restore as restore_command
from shippyard.config.models import Config
from shippyard.control.method import Call, Document, Peer
from shippyard.postgres.target import Target
from shippyard.telemetry.condition import Condition

ME = Peer(0, "olga", frozenset({"viewer", "operator"}))


class Listening:
    """A client's end of a request."""

    def __init__(self) -> None:
        self.said: list[Document] = []

    def progress(self, fields: Document) -> None:
        self.said.append(fields)

    def item(self, fields: Document) -> None:
        raise AssertionError(fields)


@dataclass
class Yard:
    """A database `shop` with a published dump, and what restores it."""

    config: Config
    target: Target
    restores: Restores
    means: Means
    told: list[Condition]
    key_id: str

    def ask(self, method: str, **params: Any) -> Document:
        """One request on the socket."""
        known = {each.name: each for each in self.methods()}
        answer: Document = known[method].run(Call(params, ME, Listening()))
        return answer

    def methods(self) -> list[Any]:
        return methods.build(
            self.restores,
            self.config,
            {"shop": self.target},
            into_database=lambda into: IntoDatabase(into, self.means),
            into_folder=lambda folder: IntoFolder(folder, self.means),
        )

    def there_is(self, dbname: str) -> bool:
        """Whether there is such a database."""
        with psycopg.connect(**self.target.conninfo(), autocommit=True) as link:
            question = "SELECT 1 FROM pg_database WHERE datname = %s"
            return link.execute(question, (dbname,)).fetchone() is not None

    def count(self, dbname: str, table: str) -> int:
        """Rows that are there now."""
        into = replace(self.target, dbname=dbname)
        with psycopg.connect(**into.conninfo(), autocommit=True) as link:
            row = link.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
            assert row is not None
            return int(row[0])


def typed(yard: Yard, *arguments: str, trust: str | None = None) -> tuple[int, str]:
    """`shippyard restore` as a person types it; its exit code and all it said."""
    place = ["--from", str(yard.config.backup.dir), "--trust", trust or yard.key_id]
    server = ["--host", yard.target.host, "--port", str(yard.target.port)]
    argv = [*place, *server, "--user", yard.target.user, *arguments]
    done = CliRunner().invoke(restore_command, argv)
    if isinstance(done.exception, Problem):
        return done.exception.code, f"{done.output}\n{done.exception}"
    assert done.exception is None, done.exception
    return done.exit_code, done.output
