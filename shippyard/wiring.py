"""Owns building the parts from the configuration and joining rooms that don't know each other.

Here, and only here, health's findings meet alerting, and the gate meets backup and health.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Protocol

import structlog

from shippyard import migrating, status
from shippyard.alerting import heartbeat
from shippyard.alerting import methods as alerting_methods
from shippyard.alerting.heartbeat import Heartbeat
from shippyard.alerting.routes import build_routes
from shippyard.alerting.routes.posting import UrlUnusable
from shippyard.alerting.service import ANY, Alerting
from shippyard.backup.model import subject_of_cluster
from shippyard.backup.offsite.age import BadKey
from shippyard.backup.offsite.store import BadPlace
from shippyard.backup.rehearsing import RestoredCopies
from shippyard.calendar.due import BadSchedule
from shippyard.calendar.jobs import Job
from shippyard.calendar.scheduler import Scheduler
from shippyard.config.loading import ConfigError
from shippyard.config.models import Config
from shippyard.control.method import Method
from shippyard.control.server import ControlServer
from shippyard.examine import refuse_unknown_rules
from shippyard.health import blockers, ending, queries
from shippyard.health import methods as health_methods
from shippyard.health.joined import Ground as HealthGround
from shippyard.health.joined import watch
from shippyard.health.live import LiveHealth
from shippyard.health.loader import CheckInvalid, load_checks
from shippyard.health.thresholds import Thresholds
from shippyard.host.clock import Clock
from shippyard.host.process import Processes
from shippyard.host.pulse import Pulse
from shippyard.host.secrets import SecretMissing
from shippyard.host.signing import KeyUnusable
from shippyard.outcomes import Outcomes, Switchboard, expected_of
from shippyard.postgres.target import target_of
from shippyard.safekeeping.ground import Ground
from shippyard.safekeeping.joined import Safekeeping, join
from shippyard.selfwatch import OWN, SelfWatch, sources_of
from shippyard.state.database import State
from shippyard.state.jobs import JobLog
from shippyard.status import Rooms
from shippyard.telemetry.exposition import Exposition
from shippyard.telemetry.http import HttpServer
from shippyard.telemetry.metrics import Metrics

CONTROL = "control"
CALENDAR = "calendar"
CALENDAR_LIMIT_S = 90.0
CONTROL_LIMIT_S = 15.0
KEEPING_LIMIT_S = 600.0
"""Looking after backups waits for disks, stores and servers, each of which may take its time."""

log = structlog.get_logger(__name__)


class NotBuildable(Exception):
    """This machine does not let the configuration be lived under; one line that says why."""


class Service(Protocol):
    """Something that runs until stopped; stopping twice, or before starting, is fine."""

    def start(self) -> None:
        """Begin to work in the background."""
        ...

    def stop(self) -> None:
        """Stop soon; work that can't be resumed is given up cleanly."""
        ...


@dataclass(frozen=True)
class Base:
    """What lives as long as the process, whatever the configuration becomes."""

    config_path: Path
    state: State
    metrics: Metrics
    exposition: Exposition
    processes: Processes
    pulse: Pulse
    clock: Clock
    started_at: datetime
    switchboard: Switchboard = field(default_factory=Switchboard)


@dataclass(frozen=True)
class System:
    """The parts under one configuration. `services` stand in the order they are started."""

    rooms: Rooms
    keeping: Safekeeping
    services: Sequence[Service]
    control: ControlServer
    socket: Path
    loops: frozenset[str]

    @property
    def databases(self) -> frozenset[str]:
        """Names of the databases it guards."""
        return frozenset(database.name for database in self.rooms.config.databases)

    @property
    def subjects(self) -> frozenset[str]:
        """What is backed up: databases, and clusters as `@cluster`."""
        clusters = map(subject_of_cluster, self.rooms.config.backup.clusters)
        return self.databases | frozenset(clusters)

    def recover(self) -> None:
        """Once, when the process starts: find what the last one left half done."""
        found = self.rooms.backups.recover()
        self.keeping.recover()
        self.rooms.scheduler.recover()
        runs = self.rooms.migrations.recover()
        log.info("daemon.recovered", **asdict(found), runs=[run.id for run in runs])

    def take_over(self, switchboard: Switchboard) -> None:
        """From now on what happens is told to this system's alerting."""
        switchboard.current = self.rooms.alerting
        self.rooms.backups.refresh_metrics()

    def quiesce(self) -> None:
        """Begin nothing more; a running migration rolls back. What ends now was interrupted."""
        self.rooms.scheduler.stop()
        self.rooms.migrations.stop()

    def make_way(self) -> str | None:
        """Begin nothing that a reload would harm; what already runs is said in one line."""
        running = self.rooms.migrations.close_if_idle()
        return f"a migration of {running[0]} runs" if running else None

    def begin_stop(self) -> None:
        """Tell every poller at once: each may hang in a connection for seconds."""
        for poller in self.rooms.pollers:
            poller.begin_stop()
        for rover in self.rooms.rovers:
            rover.begin_stop()


def build(config: Config, base: Base) -> System:
    """Every part, joined and not started.

    Raises:
        ConfigError: a check, schedule or route is wrong.
        NotBuildable: a credential can't be read.
    """
    try:
        return _build(config, base)
    except (CheckInvalid, BadSchedule, UrlUnusable, BadPlace, BadKey) as error:
        raise ConfigError(str(error)) from None
    except (SecretMissing, KeyUnusable, OSError) as error:
        raise NotBuildable(str(error)) from None


def _build(config: Config, base: Base) -> System:
    refuse_unknown_rules(config)
    paging = Alerting(
        config.alerting,
        environment=config.environment,
        state=base.state,
        metrics=base.metrics,
        clock=base.clock,
        pulse=base.pulse,
        routes=build_routes(config.alerting),
        watched=_watched(config),
    )
    live = LiveHealth(config.databases, base.clock)
    ground = HealthGround(
        base.exposition, base.metrics, live, base.clock, base.pulse, paging.observe
    )
    checks = load_checks(config.health)
    looking = watch(config.databases, config.health, checks, ground)
    loops: set[str] = {CONTROL, CALENDAR, *looking.loops}
    keeping = _safekeeping(config, base, loops)
    changing = _migrating(config, base, keeping, live)
    paging.expect(expected_of(changing.migrations))
    paging.attest(changing.audit.head)
    scheduler = _scheduler(config, base, keeping, changing)
    http = _Http(config, base)
    rooms = Rooms(
        config=config,
        config_path=base.config_path,
        started_at=base.started_at,
        clock=base.clock,
        pulse=base.pulse,
        pollers=looking.pollers,
        rovers=looking.rovers,
        alerting=paging,
        backups=keeping.backups,
        survey=keeping.survey,
        migrations=changing.migrations,
        scheduler=scheduler,
        metrics_url=http.url,
    )
    http.rooms = rooms
    watching = SelfWatch(
        sources_of(rooms, live), paging.observe, base.pulse.register, base.pulse.forget
    )
    hearts = [
        Heartbeat(
            each,
            lambda: status.ails(rooms),
            clock=base.clock,
            metrics=base.metrics,
            pulse=base.pulse,
        )
        for each in heartbeat.switches(config.alerting)
    ]
    control = ControlServer(
        config.control,
        [*_methods(rooms, changing), *keeping.methods, *changing.methods],
        clock=base.clock,
        metrics=base.metrics,
        beat=base.pulse.register(CONTROL, CONTROL_LIMIT_S),
        environment=config.environment,
    )
    services: tuple[Service, ...] = (
        paging,
        Thresholds(checks, config.alerting.rules, base.metrics),
        *looking.pollers,
        *looking.rovers,
        *keeping.services,
        *changing.services,
        scheduler,
        watching,
        *hearts,
        http,
        control,
    )
    return System(rooms, keeping, services, control, config.control.socket, frozenset(loops))


def _watched(config: Config) -> set[tuple[str, str]]:
    """Pairs of cluster and database that are looked at; a cluster's own backups are `@cluster`."""
    databases = {(database.cluster, database.name) for database in config.databases}
    clusters = {(cluster, subject_of_cluster(cluster)) for cluster in config.backup.clusters}
    visited = {(each.cluster, ANY) for each in config.databases if config.health.reach == "all"}
    return databases | clusters | visited | {OWN}


def _safekeeping(config: Config, base: Base, loops: set[str]) -> Safekeeping:
    """The backup room's parts; the names of their loops are added to `loops`."""

    def beats(name: str) -> Callable[[], None]:
        loops.add(name)
        return base.pulse.register(name, KEEPING_LIMIT_S)

    ground = Ground(
        config,
        base.processes,
        base.state,
        base.metrics,
        base.clock,
        Outcomes(config, base.switchboard).tell,
        beats,
    )
    return join(ground)


def _migrating(
    config: Config, base: Base, keeping: Safekeeping, live: LiveHealth
) -> migrating.Migrating:
    outcomes = Outcomes(config, base.switchboard)
    ground = migrating.Ground(
        config,
        base.processes,
        base.state,
        base.metrics,
        base.clock,
        outcomes.tell,
        outcomes.announce,
        keeping.backups,
        RestoredCopies(keeping.drills, {each.name: each for each in config.databases}),
        live,
        keeping.snapshots.take_soon,
    )
    return migrating.join(ground)


def _scheduler(
    config: Config, base: Base, keeping: Safekeeping, changing: migrating.Migrating
) -> Scheduler:
    zone = config.backup.timezone
    recurring = [*keeping.jobs, *changing.jobs]
    jobs = [Job(job.name, job.schedule, zone, job.run) for job in recurring]
    return Scheduler(
        jobs,
        JobLog(base.state),
        clock=base.clock,
        metrics=base.metrics,
        beat=base.pulse.register(CALENDAR, CALENDAR_LIMIT_S),
    )


def _methods(rooms: Rooms, changing: migrating.Migrating) -> list[Method]:
    databases, signal = rooms.config.databases, rooms.config.access.signal
    logins = {
        each.name: ending.Logins(
            partial(target_of, each, each.monitor), partial(target_of, each, signal)
        )
        for each in databases
    }
    return [
        *status.methods(rooms),
        *health_methods.build(rooms.pollers, rooms.rovers),
        *blockers.build({each.name: partial(target_of, each, each.monitor) for each in databases}),
        *ending.build(logins, changing.audit),
        *queries.build(_sources(rooms)),
        *alerting_methods.build(rooms.alerting, changing.audit),
    ]


def _sources(rooms: Rooms) -> list[queries.Source]:
    """The first poller of each cluster is the one that asks the cluster's checks."""
    firsts: dict[str, queries.Source] = {}
    for database, poller in zip(rooms.config.databases, rooms.pollers, strict=True):
        reach = partial(target_of, database, database.monitor)
        source = queries.Source(database.name, database.cluster, poller, reach)
        firsts.setdefault(database.cluster, source)
    return list(firsts.values())


class _Http:
    """The listener, bound only when started, so that two configurations may name one port."""

    rooms: Rooms

    def __init__(self, config: Config, base: Base) -> None:
        self._config = config.http
        self._base = base
        self._server: HttpServer | None = None

    def url(self) -> str:
        """Where Prometheus scrapes; empty while nothing listens."""
        if self._server is None:
            return ""
        host, port = self._server.address
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/metrics"

    def start(self) -> None:
        """Bind and serve.

        Raises:
            NotBuildable: the address can't be listened on.
        """
        host, port = self._config.host, self._config.port
        try:
            self._server = HttpServer(
                host,
                port,
                render=self._base.exposition.render,
                alive=lambda: status.stuck(self.rooms),
                ready=lambda: status.not_ready(self.rooms),
            )
        except OSError as error:
            raise NotBuildable(f"can't listen on http {host}:{port}: {error.strerror}") from None
        self._server.start()

    def stop(self) -> None:
        """Close the listener; safe twice and before starting."""
        if self._server is not None:
            self._server.stop()
            self._server = None
