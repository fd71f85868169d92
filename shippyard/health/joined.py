"""Owns putting together who looks at the databases of a configuration: pollers and rovers.

Knows what they report to only as what it is given.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shippyard.config.models import Database, Health
from shippyard.health.live import LiveHealth
from shippyard.health.model import Check, Observation
from shippyard.health.poller import Poller
from shippyard.health.rover import Rover
from shippyard.health.visitor import Visitor
from shippyard.host.clock import Clock
from shippyard.host.pulse import Pulse
from shippyard.postgres.target import Target, target_of
from shippyard.telemetry.exposition import Exposition
from shippyard.telemetry.metrics import Metrics

LOOP_LIMIT_S = 90.0
"""Looking up a host's name has no deadline of its own: resolvers try for half a minute and more."""


@dataclass(frozen=True)
class Ground:
    """What every one of them stands on. `observe` is told what checks with an alert see."""

    exposition: Exposition
    metrics: Metrics
    live: LiveHealth
    clock: Clock
    pulse: Pulse
    observe: Callable[[Observation], None]


@dataclass(frozen=True)
class Watch:
    """Who looks, not started, and the names of their loops."""

    pollers: Sequence[Poller]
    rovers: Sequence[Rover]
    loops: frozenset[str]


def watch(
    databases: Sequence[Database], settings: Health, checks: Sequence[Check], ground: Ground
) -> Watch:
    """A poller for each of the databases, and a rover for each cluster whose others count.

    Raises:
        SecretMissing: a login's credential can't be read.
    """
    firsts: dict[str, Database] = {}
    for database in databases:
        firsts.setdefault(database.cluster, database)
    make = _Maker(databases, settings, checks, ground)
    pollers = [make.poller(each, is_first=each in firsts.values()) for each in databases]
    reached = list(firsts.values()) if settings.reach == "all" else []
    rovers = [make.rover(first) for first in reached]
    ground.exposition.series_max = settings.series_max
    loops = {*map(_poller_loop, databases), *map(_rover_loop, reached)}
    return Watch(pollers, rovers, frozenset(loops))


@dataclass(frozen=True)
class _Maker:
    databases: Sequence[Database]
    settings: Health
    checks: Sequence[Check]
    ground: Ground

    def poller(self, database: Database, *, is_first: bool) -> Poller:
        ground = self.ground
        return Poller(
            database,
            _monitor_of(database),
            self.checks,
            exposition=ground.exposition,
            metrics=ground.metrics,
            observe=ground.observe,
            live=ground.live,
            clock=ground.clock,
            beat=ground.pulse.register(_poller_loop(database), LOOP_LIMIT_S),
            runs_instance_checks=is_first,
            connect_timeout_s=self.settings.connect_timeout_s,
            reconnect_max_s=self.settings.reconnect_max_s,
        )

    def rover(self, first: Database) -> Rover:
        beat = self.ground.pulse.register(_rover_loop(first), LOOP_LIMIT_S)
        return Rover(
            first.cluster,
            lambda: _monitor_of(first),
            self.settings,
            {each.dbname for each in self.databases if each.cluster == first.cluster},
            lambda dbname: self._visitor(self._named(first, dbname), beat),
            clock=self.ground.clock,
            beat=beat,
        )

    def _visitor(self, database: Database, beat: Callable[[], None]) -> Visitor:
        ground = self.ground
        return Visitor(
            database,
            lambda: _monitor_of(database),
            self.checks,
            exposition=ground.exposition,
            metrics=ground.metrics,
            observe=ground.observe,
            live=ground.live,
            clock=ground.clock,
            beat=beat,
            runs_instance_checks=False,
            connect_timeout_s=self.settings.connect_timeout_s,
            reconnect_max_s=self.settings.reconnect_max_s,
        )

    def _named(self, first: Database, dbname: str) -> Database:
        """Two clusters may have databases of one name, and config may call another one so."""
        is_taken = any(each.name == dbname for each in self.databases)
        is_alone = all(each.cluster == first.cluster for each in self.databases)
        name = dbname if is_alone and not is_taken else f"{first.cluster}/{dbname}"
        return first.model_copy(update={"name": name, "dbname": dbname})


def _poller_loop(database: Database) -> str:
    return f"poller {database.name}"


def _rover_loop(database: Database) -> str:
    return f"rover {database.cluster}"


def _monitor_of(database: Database) -> Target:
    return target_of(database, database.monitor)
