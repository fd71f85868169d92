"""Owns which backup work is due by the calendar. Who calls it, and when, is not known here."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from shippyard.backup.model import LOGICAL, Kind
from shippyard.backup.service import BackupService
from shippyard.config.models import Config


@dataclass(frozen=True)
class BackupJob:
    """Work with a five-field crontab line in `backup.timezone`.

    `run` gives one line on what was done, and raises BackupFailed with one line when it was not.
    """

    name: str
    schedule: str
    run: Callable[[], str]


def jobs(service: BackupService, config: Config) -> list[BackupJob]:
    """Backups of every database, and retention; what has no schedule is left out."""
    return [job for job in _all_jobs(service, config) if job.schedule]


def _all_jobs(service: BackupService, config: Config) -> Iterator[BackupJob]:
    schedules: dict[Kind, str] = {
        "dump": config.backup.dump_schedule,
        "schema": config.backup.schema_schedule,
    }
    for database in config.databases:
        for kind in LOGICAL:
            run = partial(_take, service, database.name, kind)
            yield BackupJob(f"backup.{kind}.{database.name}", schedules[kind], run)
    yield BackupJob("backup.prune", config.backup.prune_schedule, partial(_prune, service))


def _take(service: BackupService, database: str, kind: Kind) -> str:
    backup = service.run(database, kind, "schedule")
    return f"{backup.id}, {backup.size_bytes} bytes"


def _prune(service: BackupService) -> str:
    pruned = service.prune(apply=True)
    return f"deleted {len(pruned.deleted)} of {len(pruned.decisions)} backups"
