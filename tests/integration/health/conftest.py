"""A role that may only monitor, and a poller with everything around it."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from shippyard.config.models import CheckOverride, Database, Health, Login
from shippyard.health.live import LiveHealth
from shippyard.health.loader import load_checks
from shippyard.health.model import Finding, Observation
from shippyard.health.poller import Poller
from shippyard.host.clock import SystemClock
from shippyard.postgres.target import Target
from shippyard.telemetry.exposition import Exposition
from shippyard.telemetry.metrics import Metrics
from tests.conftest import Eventually

WATCHER = "watcher"
QUICK = CheckOverride(every_s=0.2)


def connect(target: Target, application: str = "test") -> "psycopg.Connection[tuple[object, ...]]":
    """A client of the database, as an application would be one."""
    info: dict[str, Any] = dict(target.conninfo())
    return psycopg.connect(**info, autocommit=True, application_name=application)


def watcher_of(target: Target) -> Target:
    """The same database, reached by a role with pg_monitor and nothing else."""
    with connect(target) as admin:
        if not admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [WATCHER]).fetchone():
            admin.execute(f"CREATE ROLE {WATCHER} LOGIN")
            admin.execute(f"GRANT pg_monitor TO {WATCHER}")
    return replace(target, user=WATCHER)


@dataclass
class Watch:
    """A running poller, and what came out of it."""

    poller: Poller
    exposition: Exposition
    metrics: Metrics
    live: LiveHealth
    observed: list[Observation] = field(default_factory=list)
    beats: int = 0

    def newest(self, rule: str) -> Observation | None:
        return next((seen for seen in reversed(self.observed) if seen.rule == rule), None)

    def finding(self, rule: str) -> Finding | None:
        seen = self.newest(rule)
        return seen.finding if seen else None

    def series(self) -> list[str]:
        """Samples of checks, without the daemon's own."""
        lines = self.exposition.render().decode().splitlines()
        own = ("shippyard_health_check_", "shippyard_health_database_up")
        return [
            line
            for line in lines
            if line.startswith("shippyard_health_") and not line.startswith(own)
        ]

    def up(self) -> float | None:
        return self.metrics.registry.get_sample_value(
            "shippyard_health_database_up", {"database": "shop"}
        )


Found = Callable[[Watch, str], Finding]

WatchThe = Callable[..., contextlib.AbstractContextManager[Watch]]


@contextlib.contextmanager
def _watched(
    target: Target,
    checks: dict[str, CheckOverride] | None = None,
    checks_dir: Path | None = None,
) -> Iterator[Watch]:
    role = Login(user=target.user)
    database = Database(
        name="shop", host=target.host, dbname=target.dbname, monitor=role, backup=role
    )
    metrics, clock = Metrics(), SystemClock()
    exposition, live = Exposition(metrics), LiveHealth([database], clock)
    observed: list[Observation] = []

    def beat() -> None:
        watch.beats += 1

    poller = Poller(
        database,
        target,
        load_checks(Health(checks=checks or {}, checks_dir=checks_dir)),
        exposition=exposition,
        metrics=metrics,
        observe=observed.append,
        live=live,
        clock=clock,
        beat=beat,
        runs_instance_checks=True,
        connect_timeout_s=2,
        reconnect_max_s=2,
    )
    watch = Watch(poller, exposition, metrics, live, observed)
    poller.start()
    try:
        yield watch
    finally:
        poller.stop()


@pytest.fixture
def watched() -> WatchThe:
    """Poll a database for the length of a block."""
    return _watched


@pytest.fixture
def found(eventually: Eventually) -> Found:
    """The finding of a rule, once there is one."""

    def wait(watch: Watch, rule: str) -> Finding:
        finding = eventually(lambda: watch.finding(rule))
        assert finding is not None
        return finding

    return wait
