"""A database `shop` with one published dump, for tests of the whole course."""

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from shippyard.backup.restore.course import Means
from shippyard.backup.restore.service import Restores
from shippyard.backup.restore.shelf import FolderShelf
from shippyard.backup.seal import seal_of
from shippyard.backup.service import BackupService
from shippyard.config.models import Config
from shippyard.host.clock import SystemClock
from shippyard.host.process import Processes
from shippyard.host.signing import key_id_of
from shippyard.postgres.embedded import EmbeddedCluster
from shippyard.postgres.target import Target
from shippyard.state.database import open_state
from shippyard.telemetry.condition import Condition
from shippyard.telemetry.metrics import Metrics
from tests.integration.restore.restore_yard import Yard


@pytest.fixture(scope="module")
def published(cluster: EmbeddedCluster, processes: Processes) -> Iterator[tuple[Config, Target]]:
    """A database `shop`, and one dump of it in a folder."""
    target = replace(cluster.target(), dbname=f"t_{uuid.uuid4().hex[:12]}")
    with psycopg.connect(**cluster.target().conninfo(), autocommit=True) as link:
        link.execute(f"CREATE DATABASE {target.dbname}".encode())
    with psycopg.connect(**target.conninfo(), autocommit=True) as link:
        link.execute("CREATE TABLE users (id serial PRIMARY KEY, email text)")
        link.execute("INSERT INTO users (email) SELECT n || '@x' FROM generate_series(1, 70) n")
    folder = Path(tempfile.mkdtemp(prefix="shippyard-test-"))
    login = {"user": target.user}
    shop = {"name": "shop", "dbname": target.dbname, "monitor": login, "backup": login}
    config = Config.model_validate(
        {
            "environment": "testing",
            "daemon": {"state_dir": folder / "state"},
            "backup": {"dir": folder / "backups", "timeout_s": 60},
            "databases": [shop | {"host": target.host, "port": target.port}],
        }
    )
    with open_state(folder / "state") as state:
        service = BackupService(
            config,
            {"shop": target},
            processes=processes,
            state=state,
            metrics=Metrics(),
            clock=SystemClock(),
        )
        service.run("shop", "dump", "manual")
    yield config, target
    shutil.rmtree(folder)
    with psycopg.connect(**cluster.target().conninfo(), autocommit=True) as link:
        link.execute(f"DROP DATABASE {target.dbname} WITH (FORCE)".encode())


@pytest.fixture
def yard(published: tuple[Config, Target], processes: Processes) -> Yard:
    config, target = published
    seal = seal_of(config)
    told: list[Condition] = []
    shelf = FolderShelf(config.backup.dir, seal.trusted)
    means = Means(shelf, str(config.backup.dir), processes, SystemClock(), timeout_s=60)
    key_id = key_id_of(seal.signer.public_key)
    return Yard(config, target, Restores(means, told.append), means, told, key_id)


@pytest.fixture
def elsewhere(yard: Yard) -> Iterator[str]:
    """The name of a database that is not there yet."""
    name = f"{yard.target.dbname}_back"
    yield name
    with psycopg.connect(
        **replace(yard.target, dbname="postgres").conninfo(), autocommit=True
    ) as link:
        link.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())
