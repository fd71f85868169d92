"""A cluster of every PostgreSQL that is installed here, and Alembic as its users run it."""

import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from shippyard.host.process import Completed, Processes
from shippyard.postgres.embedded import embedded_cluster
from shippyard.postgres.target import Target
from shippyard.postgres.tools import Tools, installed_tools
from shippyard.setup.schema import make_policy_roles
from tests.integration.migrations_tree.shippyar_tree import (
    MIGRATIONS,
    PlainAlembic,
    Server,
    move,
)

ALEMBIC_TIMEOUT_S = 60.0


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server" in metafunc.fixturenames:
        installed = [
            tools
            for tools in installed_tools(Processes(), program="initdb")
            if (tools.bin_dir / "postgres").is_file() and (tools.bin_dir / "pg_dump").is_file()
        ]
        ids = [f"postgresql{tools.major}" for tools in installed]
        metafunc.parametrize("server", installed, indirect=True, ids=ids, scope="session")


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest, processes: Processes) -> Iterator[Server]:
    tools: Tools = request.param
    with embedded_cluster(tools, processes) as cluster:
        make_policy_roles(cluster.target())
        yield Server(tools, cluster, processes)


@pytest.fixture
def make_database(server: Server) -> Iterator[Callable[[str], Target]]:
    """Makes new databases, copies of the template that is named; gone after the test."""
    admin = server.cluster.target()
    made: list[str] = []
    with psycopg.connect(**admin.conninfo(), autocommit=True) as connection:

        def make(template: str) -> Target:
            made.append(f"t_{uuid.uuid4().hex[:12]}")
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                    sql.Identifier(made[-1]), sql.Identifier(template)
                )
            )
            return replace(admin, dbname=made[-1])

        yield make
        for name in made:
            connection.execute(
                sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            )


@pytest.fixture
def database(make_database: Callable[[str], Target]) -> Target:
    """An empty database."""
    return make_database("template1")


@pytest.fixture(scope="session")
def head_template(server: Server) -> str:
    """A database with every revision that nobody connects to again."""
    admin = server.cluster.target()
    with psycopg.connect(**admin.conninfo(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE at_head")
    move(replace(admin, dbname="at_head"), "head")
    return "at_head"


@pytest.fixture
def at_head(make_database: Callable[[str], Target], head_template: str) -> Target:
    """A database with every revision."""
    return make_database(head_template)


@pytest.fixture
def alembic(processes: Processes, tmp_path: Path) -> PlainAlembic:
    """Plain Alembic, from a folder that has nothing to do with the tree."""

    def run(*arguments: str, url: str | None = None, tree: Path = MIGRATIONS) -> Completed:
        ini = str(tree / "alembic.ini")
        return processes.run(
            [sys.executable, "-W", "error", "-m", "alembic", "-c", ini, *arguments],
            timeout_s=ALEMBIC_TIMEOUT_S,
            cwd=tmp_path,
            env={"SHIPPYAR_DATABASE_URL": url} if url is not None else {},
        )

    return run
