"""Owns the one-screen answer to "is everything all right": what `ctl status` and `readyz` say.

It asks the rooms and adds up; it decides nothing and keeps nothing.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from shippyard import __version__
from shippyard.alerting.service import Alerting
from shippyard.backup.model import KINDS, Backup
from shippyard.backup.service import BackupService
from shippyard.calendar.scheduler import Scheduler
from shippyard.config.models import Config, Database
from shippyard.control.method import Call, Document, Method
from shippyard.health.poller import Poller
from shippyard.host.clock import Clock
from shippyard.host.pulse import Pulse
from shippyard.migration.service import Migrations


@dataclass(frozen=True)
class Rooms:
    """Everybody who is asked."""

    config: Config
    config_path: Path
    started_at: datetime
    clock: Clock
    pulse: Pulse
    pollers: Sequence[Poller]
    alerting: Alerting
    backups: BackupService
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
    return {
        "version": __version__,
        "environment": rooms.config.environment,
        "pid": os.getpid(),
        "config": str(rooms.config_path),
        "started_at": rooms.started_at.isoformat(),
        "uptime_s": (now - rooms.started_at).total_seconds(),
        "metrics_url": rooms.metrics_url(),
        "problems": [*stuck(rooms), *not_ready(rooms), *never_backed_up(rooms)],
        "databases": [_database(rooms, database) for database in rooms.config.databases],
        "incidents": rooms.alerting.incidents(with_ended=False),
    }


def stuck(rooms: Rooms) -> list[str]:
    """Loops that do not turn: the daemon itself is ill."""
    return [f"{loop} is stuck" for loop in rooms.pulse.stuck()]


def not_ready(rooms: Rooms) -> list[str]:
    """Why the daemon can't do its work now, one line each."""
    statuses = (poller.status() for poller in rooms.pollers)
    down = [f"{s.name} is down: {s.error}" for s in statuses if not s.up]
    return [*stuck(rooms), *down]


def never_backed_up(rooms: Rooms) -> list[str]:
    """Databases without a full backup that counts."""
    return [
        f"no verified backup of {database.name}; run: shippyard ctl backup run {database.name}"
        for database in rooms.config.databases
        if rooms.backups.newest(database.name) is None
    ]


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
        "newest": {kind: _newest(history, kind) for kind in KINDS},
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
