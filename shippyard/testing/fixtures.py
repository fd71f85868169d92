"""Owns the fixtures of pytest. To use them: `pytest_plugins = ["shippyard.testing.fixtures"]`.

The only file that knows pytest; what the fixtures give works without it.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from shippyard.host.process import Processes
from shippyard.postgres.target import Target
from shippyard.setup.schema import MIGRATIONS
from shippyard.testing.databases import Databases, ShippyarDatabase
from shippyard.testing.server import server_for_tests
from shippyard.testing.template import make_template


@pytest.fixture(scope="session")
def shippyar_processes() -> Iterator[Processes]:
    """What the fixtures start; nothing of it stays."""
    made = Processes()
    yield made
    made.end_all()


@pytest.fixture(scope="session")
def shippyar_migrations() -> Path:
    """The tree that is tested; override it to test another one."""
    return MIGRATIONS


@pytest.fixture(scope="session")
def shippyar_server(shippyar_processes: Processes) -> Iterator[Target]:
    """A superuser on the server of SHIPPYAR_TEST_SERVER, else on a scratch cluster."""
    with server_for_tests(os.environ, shippyar_processes) as server:
        yield server


@pytest.fixture(scope="session")
def shippyar_template(
    shippyar_server: Target, shippyar_migrations: Path, shippyar_processes: Processes
) -> str:
    """The name of a database at head with roles, rights and countries, which nobody connects to."""
    return make_template(shippyar_server, shippyar_migrations, shippyar_processes)


@pytest.fixture(scope="session")
def shippyar_databases(shippyar_server: Target, shippyar_template: str) -> Iterator[Databases]:
    """Where fresh databases come from; for fixtures of your own with another scope."""
    made = Databases(shippyar_server, shippyar_template)
    yield made
    made.close()


@pytest.fixture
def shippyar_database(shippyar_databases: Databases) -> Iterator[ShippyarDatabase]:
    """A database of this test alone."""
    database = shippyar_databases.take()
    yield database
    shippyar_databases.give_back(database)


@pytest.fixture(scope="module")
def shippyar_suite_database(shippyar_databases: Databases) -> Iterator[ShippyarDatabase]:
    """A database that all tests of a module share; what one writes the next one sees."""
    database = shippyar_databases.take()
    yield database
    shippyar_databases.give_back(database)
