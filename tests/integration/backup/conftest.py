"""A backup service on a fresh database, and what it said while it worked."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from shippyard.backup.engines.choice import EngineFor, engine_for
from shippyard.backup.service import BackupService
from shippyard.config.models import Config
from shippyard.host.process import Processes
from shippyard.postgres.target import Target
from shippyard.state.database import State
from shippyard.telemetry.condition import Condition
from shippyard.telemetry.metrics import Metrics
from tests.conftest import FakeClock


@dataclass
class Yard:
    """One database called `shop` and everything around its backups."""

    service: BackupService
    config: Config
    root: Path
    state: State
    metrics: Metrics
    clock: FakeClock
    target: Target
    told: list[Condition]

    def visible(self) -> list[str]:
        """Names that a person sees in the database's folder."""
        folder = self.root / "shop"
        return sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []

    def file(self, backup_id: str) -> Path:
        """The biggest file of a published full dump: the archive, or its biggest table."""
        folder = self.root / "shop" / backup_id
        inside = [p for p in folder.rglob("*") if p.is_file() and "shop.dump" in str(p)]
        return max(inside, key=lambda each: each.stat().st_size)

    def errors(self) -> list[str | None]:
        """What was told of the database, in order."""
        return [condition.summary for condition in self.told]

    def gauge(self, name: str, kind: str = "dump", **labels: str) -> float | None:
        """A sample of the registry, or None when absent."""
        return self.metrics.registry.get_sample_value(
            f"shippyard_backup_{name}", {"database": "shop", "kind": kind, **labels}
        )


MakeYard = Callable[..., Yard]


@pytest.fixture
def make_yard(
    processes: Processes, fresh_database: Target, state: State, clock: FakeClock, tmp_path: Path
) -> MakeYard:
    """A yard over this test's database, state and folder; call it again for a restart."""

    def make(
        *,
        target: Target = fresh_database,
        with_processes: Processes = processes,
        with_state: State = state,
        with_engines: EngineFor = engine_for,
        tools_dirs: tuple[Path, ...] = (),
        **settings: Any,
    ) -> Yard:
        config = a_config(tmp_path, target, tools_dirs, settings)
        metrics = Metrics()
        told: list[Condition] = []
        service = BackupService(
            config,
            {"shop": target},
            processes=with_processes,
            state=with_state,
            metrics=metrics,
            clock=clock,
            tell=told.append,
            engines=with_engines,
        )
        return Yard(service, config, config.backup.dir, with_state, metrics, clock, target, told)

    return make


@pytest.fixture
def yard(make_yard: MakeYard) -> Yard:
    return make_yard()


def a_config(
    folder: Path, target: Target, tools_dirs: tuple[Path, ...], settings: dict[str, Any]
) -> Config:
    login = {"user": target.user}
    shop = {"name": "shop", "dbname": target.dbname, "monitor": login, "backup": login}
    return Config.model_validate(
        {
            "environment": "testing",
            "daemon": {"state_dir": folder / "state"},
            "backup": {"dir": folder / "backups", "timeout_s": 60, **settings},
            "databases": [shop],
            "tools_dirs": tools_dirs,
        }
    )


def execute(target: Target, *statements: str) -> None:
    """Run statements on a database, each by itself."""
    with psycopg.connect(**target.conninfo(), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


@pytest.fixture
def shop(fresh_database: Target) -> Target:
    """A small database with something of everything that a dump must carry."""
    execute(
        fresh_database,
        "CREATE TABLE users (id serial PRIMARY KEY, email text NOT NULL UNIQUE, born date)",
        "CREATE TABLE orders (id int PRIMARY KEY, buyer int REFERENCES users, what jsonb)",
        "CREATE TABLE alembic_version (version_num text PRIMARY KEY)",
        "CREATE VIEW buyers AS SELECT DISTINCT buyer FROM orders",
        "INSERT INTO users (email, born) SELECT n || '@é.example', '2000-01-01'::date + n"
        " FROM generate_series(1, 2000) n",
        "INSERT INTO orders SELECT n, 1 + n % 2000, jsonb_build_object('n', n, 'x', md5(n::text))"
        " FROM generate_series(1, 5000) n",
        "INSERT INTO alembic_version VALUES ('0003')",
        "SELECT lo_from_bytea(4711, 'a large object')",
    )
    return fresh_database
