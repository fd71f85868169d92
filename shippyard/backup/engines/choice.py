"""Owns which engine makes and decodes what. Starts nothing and asks no server."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from shippyard.backup.engines.barman import Barman
from shippyard.backup.engines.engine import Engine
from shippyard.backup.engines.external import ExternalEngine
from shippyard.backup.engines.pg_basebackup import BaseEngine
from shippyard.backup.engines.pg_dump import DumpEngine
from shippyard.backup.engines.pgbackrest import PgBackRest
from shippyard.backup.engines.repository import Repository
from shippyard.backup.manifest import Manifest
from shippyard.backup.model import Kind
from shippyard.config.models import ClusterBackup, Config
from shippyard.host.clock import Clock
from shippyard.host.process import Processes
from shippyard.postgres.target import Target

Parent = Callable[[], tuple[Path, Manifest] | None]
"""Gives the base backup that an incremental one goes on from; None for a full one."""


class EngineFor(Protocol):
    """Chooses the engine for one kind of one subject."""

    def __call__(
        self,
        kind: Kind,
        target: Target,
        config: Config,
        processes: Processes,
        clock: Clock,
        *,
        cluster: str,
        parent: Parent,
    ) -> Engine:
        """The engine; `cluster` is the server's name in the configuration.

        Raises:
            EngineFailed: there is none for this.
        """
        ...


def engine_for(
    kind: Kind,
    target: Target,
    config: Config,
    processes: Processes,
    clock: Clock,
    *,
    cluster: str,
    parent: Parent,
) -> Engine:
    """The engine that the configuration wants; see `EngineFor`."""
    if kind != "base":
        return DumpEngine(kind, target, config, processes, clock)
    settings = config.backup.clusters.get(cluster, ClusterBackup())
    if settings.engine == "postgres":
        return BaseEngine(target, settings, config, processes, clock, parent=parent())
    repository = repository_of(settings, config, processes)
    return ExternalEngine(repository, target, incremental=parent() is not None)


def repository_for(subject: str, config: Config, processes: Processes) -> Repository | None:
    """Where another engine keeps what a subject has; None when that is us, or it is unknown."""
    settings = config.backup.clusters.get(subject.removeprefix("@"))
    if settings is None or settings.engine == "postgres":
        return None
    return repository_of(settings, config, processes)


def repository_of(settings: ClusterBackup, config: Config, processes: Processes) -> Repository:
    """Where another engine keeps a cluster's base backups and WAL."""
    assert settings.stanza is not None, "the configuration refuses another engine without stanza"
    kind = PgBackRest if settings.engine == "pgbackrest" else Barman
    return kind(
        stanza=settings.stanza,
        processes=processes,
        timeout_s=config.backup.timeout_s,
        config=settings.engine_config,
        program=settings.engine_program or settings.engine,
    )
