"""Owns joining what changes schemas: plans, gates, runs, backfills; and what they ask of others.

They know backups and health by Protocols only; here those are given to them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from shippyard.config.models import Config
from shippyard.control.method import Method
from shippyard.host.clock import Clock
from shippyard.host.process import Processes
from shippyard.migration import methods as migration_methods
from shippyard.migration.facts import Backups, Live
from shippyard.migration.filling import Backfills
from shippyard.migration.service import Migrations
from shippyard.postgres.target import Target, target_of
from shippyard.state.database import State
from shippyard.telemetry.condition import Tell
from shippyard.telemetry.metrics import Metrics


class Service(Protocol):
    """Something that runs until stopped; stopping twice, or before starting, is fine."""

    def start(self) -> None:
        """Begin to work in the background."""
        ...

    def stop(self) -> None:
        """Stop soon."""
        ...


@dataclass(frozen=True)
class Ground:
    """What everything here stands on. `remember` keeps the daemon's memory safe, soon."""

    config: Config
    processes: Processes
    state: State
    metrics: Metrics
    clock: Clock
    tell: Tell
    backups: Backups
    live: Live
    remember: Callable[[], None]

    @property
    def targets(self) -> Mapping[str, Target | None]:
        """How the migrator reaches each database; None where it has no login."""
        return {
            each.name: target_of(each, each.migrator) if each.migrator else None
            for each in self.config.databases
        }


@dataclass(frozen=True)
class Migrating:
    """The parts, joined and not started."""

    migrations: Migrations
    backfills: Backfills
    services: Sequence[Service]
    methods: Sequence[Method]


def join(ground: Ground) -> Migrating:
    """Every part of the migration room."""
    backfills = Backfills(ground.targets, ground.processes, ground.metrics, ground.clock)
    migrations = Migrations(
        ground.config.migration,
        ground.config.environment,
        ground.targets,
        ground.config.daemon.state_dir / "plans",
        processes=ground.processes,
        state=ground.state,
        metrics=ground.metrics,
        clock=ground.clock,
        backups=ground.backups,
        live=ground.live,
        batch_seen=backfills.seen,
        remember=ground.remember,
    )
    methods = migration_methods.build(migrations, backfills)
    return Migrating(migrations, backfills, (backfills, migrations), methods)
