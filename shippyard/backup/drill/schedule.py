"""Owns which drills are due by the calendar: every kind of every subject, and an older one each."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from shippyard.backup.drill.model import Drill, DrillRefused
from shippyard.backup.drill.service import Drills
from shippyard.backup.model import BackupFailed
from shippyard.config.models import Config

SHOWN = 3


@dataclass(frozen=True)
class DrillJob:
    """Work with a five-field crontab line in `backup.timezone`.

    `run` gives one line on what was done, and raises BackupFailed with one line when it was not.
    """

    name: str
    schedule: str
    run: Callable[[], str]


def jobs(drills: Drills, config: Config) -> list[DrillJob]:
    """One job, for drills go one after the other; none without a schedule."""
    schedule = config.backup.drill.schedule
    older = config.backup.drill.random_older
    run = partial(_run_all, drills, older=older)
    return [DrillJob("backup.drill", schedule, run)] if schedule else []


def _run_all(drills: Drills, *, older: bool) -> str:
    done: list[Drill] = []
    refused: list[str] = []
    for subject in drills.subjects():
        for each in _of(drills, subject, older=older):
            try:
                done.append(each())
            except DrillRefused as error:
                refused.append(str(error))
    wrong = [f"{d.backup_id} {d.outcome}: {d.error}" for d in done if d.outcome != "passed"]
    if wrong or refused:
        raise BackupFailed("; ".join([*wrong, *refused][:SHOWN]))
    return f"{len(done)} backups were restored and found right"


def _of(drills: Drills, subject: str, *, older: bool) -> Iterator[Callable[[], Drill]]:
    """The newest of each kind there is, then one that is not the newest."""
    for kind in drills.kinds(subject):
        yield partial(drills.run, subject, kind, "schedule")
        if older and kind != "schema" and drills.older_exists(subject, kind):
            yield partial(drills.run, subject, kind, "schedule", older=True)
