"""Owns the one-screen answer to "is everything all right": what `ctl status` and `readyz` say.

It asks the rooms and adds up; it decides nothing and keeps nothing.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from shippyard import __version__
from shippyard.alerting.service import Alerting
from shippyard.backup.conditions import RULES
from shippyard.backup.model import LOGICAL, Backup, subject_of_cluster
from shippyard.backup.service import BackupService
from shippyard.backup.survey import Survey
from shippyard.calendar.due import latest_due, parse_schedule
from shippyard.calendar.scheduler import Scheduler
from shippyard.config.models import Config, Database
from shippyard.control.method import Call, Document, Method
from shippyard.health.poller import Poller
from shippyard.health.rover import Rover
from shippyard.host.clock import Clock
from shippyard.host.pulse import Pulse
from shippyard.migration.service import Migrations

LATE_AFTER = timedelta(hours=1)
JOB_GRACE_S = 900.0
"""A job that was due longer ago and has not begun was missed."""
Incident = dict[str, Any]
"""As alerting shows it."""


@dataclass(frozen=True)
class Rooms:
    """Everybody who is asked."""

    config: Config
    config_path: Path
    started_at: datetime
    clock: Clock
    pulse: Pulse
    pollers: Sequence[Poller]
    rovers: Sequence[Rover]
    alerting: Alerting
    backups: BackupService
    survey: Survey
    migrations: Migrations
    scheduler: Scheduler
    metrics_url: Callable[[], str]


def methods(rooms: Rooms) -> list[Method]:
    """`status` and `jobs`: what no single room can answer."""

    def status(_: Call) -> Document:
        return describe(rooms)

    def jobs(_: Call) -> Document:
        return {"jobs": rooms.scheduler.describe()}

    return [Method("status", "viewer", status), Method("jobs", "viewer", jobs)]


def describe(rooms: Rooms) -> dict[str, Any]:
    """Everything on one screen, ready for JSON."""
    now = rooms.clock.now()
    incidents = rooms.alerting.incidents(with_ended=False)
    return {
        "version": __version__,
        "environment": rooms.config.environment,
        "pid": os.getpid(),
        "config": str(rooms.config_path),
        "started_at": rooms.started_at.isoformat(),
        "uptime_s": (now - rooms.started_at).total_seconds(),
        "metrics_url": rooms.metrics_url(),
        "problems": [*not_ready(rooms), *backups_due(rooms), *frozen(rooms), *failed_jobs(rooms)],
        "databases": [_database(rooms, database) for database in rooms.config.databases],
        "backups": _backups(rooms, incidents),
        "incidents": incidents,
    }


def stuck(rooms: Rooms) -> list[str]:
    """Loops that do not turn: the daemon itself is ill."""
    return [f"{loop} is stuck" for loop in rooms.pulse.stuck()]


def not_ready(rooms: Rooms) -> list[str]:
    """Why the daemon can't do its work now, one line each."""
    statuses = (poller.status() for poller in rooms.pollers)
    down = [f"{s.name} is down: {s.error}" for s in statuses if not s.up]
    return [*stuck(rooms), *down]


def ails(rooms: Rooms) -> list[str]:
    """What keeps the sign of life back: polls or schedules that do not succeed."""
    late = rooms.scheduler.overdue(JOB_GRACE_S)
    return [*not_ready(rooms), *(f"job {name} is overdue" for name in late)]


def backups_due(rooms: Rooms) -> list[str]:
    """What has no full backup that counts, and dumps older than their schedule wants."""
    wanted = _dump_wanted_since(rooms)
    found = (_backup_problem(rooms, database.name, wanted) for database in rooms.config.databases)
    bases = (_base_problem(rooms, cluster) for cluster in rooms.config.backup.clusters)
    return [problem for problem in (*found, *bases) if problem]


def frozen(rooms: Rooms) -> list[str]:
    """Why no backup is pruned, and what lets it go on."""
    why = rooms.backups.frozen()
    return [f"no backup is pruned: {why}"] if why else []


def _dump_wanted_since(rooms: Rooms) -> datetime | None:
    """The newest due time of dumps that is an hour past; None without a schedule."""
    backup = rooms.config.backup
    if not backup.dump_schedule:
        return None
    schedule = parse_schedule(backup.dump_schedule, backup.timezone)
    return latest_due(schedule, rooms.clock.now() - LATE_AFTER)


def _backup_problem(rooms: Rooms, database: str, wanted: datetime | None) -> str | None:
    newest = rooms.backups.newest(database)
    remedy = f"run: shippyard ctl backup run {database}"
    if newest is None:
        return f"no verified backup of {database}; {remedy}"
    if wanted and newest.started_at < wanted:
        return f"the newest dump of {database} is of {newest.started_at:%Y-%m-%d %H:%M}Z; {remedy}"
    return None


def _base_problem(rooms: Rooms, cluster: str) -> str | None:
    subject = subject_of_cluster(cluster)
    if rooms.backups.newest(subject, "base"):
        return None
    return f"no verified base backup of {subject}; run: shippyard ctl backup run {subject}"


def failed_jobs(rooms: Rooms) -> list[str]:
    """Scheduled jobs that failed last time."""
    last = ((job["name"], job["last"]) for job in rooms.scheduler.describe())
    return [f"job {name} failed: {run['detail']}" for name, run in last if _failed(run)]


def _failed(run: dict[str, Any] | None) -> bool:
    return run is not None and run["outcome"] == "failed"


def _backups(rooms: Rooms, incidents: Sequence[Incident]) -> dict[str, Any]:
    """How every subject's backups stand."""
    answer = rooms.survey.describe()
    for each in answer["subjects"]:
        each["problems"] = worst_first(each["subject"], each["problems"], incidents)
    return answer


def worst_first(subject: str, seen: Sequence[str], incidents: Sequence[Incident]) -> list[str]:
    """What a subject's backups were paged for, then what is seen of them, then tickets."""
    told = [i for i in incidents if i["database"] == subject and i["rule"] in RULES]
    firing = [i for i in told if i["state"] == "firing"]
    pages = [i["summary"] for i in firing if i["severity"] == "page"]
    tickets = [i["summary"] for i in firing if i["severity"] != "page"]
    return [*pages, *seen, *tickets]


def _database(rooms: Rooms, database: Database) -> dict[str, Any]:
    status = next(s for s in (p.status() for p in rooms.pollers) if s.name == database.name)
    history = rooms.backups.history(database.name)
    runs = rooms.migrations.history(database.name)
    return {
        "name": database.name,
        "cluster": database.cluster,
        "up": status.up,
        "error": status.error,
        "server_version": status.server_version,
        "newest": {kind: _newest(history, kind) for kind in LOGICAL},
        "last_run": {"to_revision": runs[0].to_revision, "state": runs[0].state} if runs else None,
    }


def _newest(history: Sequence[Backup], kind: str) -> dict[str, Any] | None:
    for backup in _published(history, kind):
        return {
            "id": backup.id,
            "started_at": backup.started_at.isoformat(),
            "size_bytes": backup.size_bytes,
        }
    return None


def _published(history: Sequence[Backup], kind: str) -> Iterator[Backup]:
    """Newest first, as the history is."""
    return (b for b in history if b.kind == kind and b.counts)
