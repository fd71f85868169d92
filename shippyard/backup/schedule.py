"""Owns which backup work is due by the calendar. Who calls it, and when, is not known here."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from shippyard.backup.model import BackupFailed, Kind
from shippyard.backup.service import BackupService
from shippyard.backup.turns import MigrationRuns
from shippyard.config.models import Config

MIGRATION_PAUSE_S = 15.0
MIGRATION_WAITS = 240


@dataclass(frozen=True)
class BackupJob:
    """Work with a five-field crontab line in `backup.timezone`.

    `run` gives one line on what was done, and raises BackupFailed with one line when it was not.
    """

    name: str
    schedule: str
    run: Callable[[], str]


def jobs(service: BackupService, config: Config) -> list[BackupJob]:
    """Backups of every subject, and retention; what has no schedule is left out."""
    return [job for job in _all_jobs(service, config) if job.schedule]


def _all_jobs(service: BackupService, config: Config) -> Iterator[BackupJob]:
    backup = config.backup
    schedules: dict[Kind, str] = {
        "dump": backup.dump_schedule,
        "schema": backup.schema_schedule,
        "base": backup.base_schedule,
    }
    for subject, kinds in service.subjects().items():
        for kind in kinds:
            run = partial(_take, service, subject, kind)
            yield BackupJob(f"backup.{kind}.{subject}", schedules[kind], run)
        if "base" in kinds:
            run = partial(_take, service, subject, "base", incremental=True)
            yield BackupJob(f"backup.incremental.{subject}", backup.incremental_schedule, run)
    yield BackupJob("backup.prune", backup.prune_schedule, partial(_prune, service))


def _take(service: BackupService, subject: str, kind: Kind, *, incremental: bool = False) -> str:
    """A migration that runs is waited for: the day must not go without its backup for that."""
    for _ in range(MIGRATION_WAITS):
        try:
            backup = service.run(subject, kind, "schedule", incremental=incremental)
        except MigrationRuns:
            if service.pause(MIGRATION_PAUSE_S):
                break
        else:
            return f"{backup.id}, {backup.size_bytes} bytes"
    raise BackupFailed(f"a migration of {subject} ran all the while; take the {kind} by hand")


def _prune(service: BackupService) -> str:
    pruned = service.prune(apply=True)
    return f"deleted {len(pruned.deleted)} of {len(pruned.decisions)} backups"
