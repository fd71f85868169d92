"""Owns what everything that keeps backups stands on, and what it is made of: services and jobs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from shippyard.config.models import Config, Database
from shippyard.host.clock import Clock
from shippyard.host.process import Processes
from shippyard.postgres.target import Target, target_of
from shippyard.state.database import State
from shippyard.telemetry.condition import Tell
from shippyard.telemetry.metrics import Metrics

Beats = Callable[[str], Callable[[], None]]
"""Gives a loop of this name what it must call each turn."""


class Service(Protocol):
    """Something that runs until stopped; stopping twice, or before starting, is fine."""

    def start(self) -> None:
        """Begin to work in the background."""
        ...

    def stop(self) -> None:
        """Stop soon."""
        ...


class CalendarJob(Protocol):
    """Work with a five-field crontab line in `backup.timezone`."""

    @property
    def name(self) -> str:
        """Unique among all jobs."""
        ...

    @property
    def schedule(self) -> str:
        """The crontab line."""
        ...

    @property
    def run(self) -> Callable[[], str]:
        """Does it; gives one line on what was done."""
        ...


@dataclass(frozen=True)
class Job:
    """Work for the calendar, see `CalendarJob`."""

    name: str
    schedule: str
    run: Callable[[], str]


@dataclass(frozen=True)
class Ground:
    """What everything here stands on."""

    config: Config
    processes: Processes
    state: State
    metrics: Metrics
    clock: Clock
    tell: Tell
    beats: Beats

    @property
    def targets(self) -> Mapping[str, Target]:
        """How the backup role reaches each database."""
        return {each.name: target_of(each, each.backup) for each in self.config.databases}


def first_of(config: Config, cluster: str) -> Database:
    """The database through which a cluster's server is reached."""
    return next(each for each in config.databases if each.cluster == cluster)
