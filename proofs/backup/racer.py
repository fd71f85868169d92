"""One of two daemons that race: a process of its own, told by lines what to race for and when.

Run as `python -m proofs.backup.racer FOLDER NAME HOST`. It holds what two daemons of one machine
share, or don't, by mode. What it did is written into the server, by the server's own clock; who won
is for `races.py` to judge.
"""

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import structlog

from shippyard.backup.catalog import Catalog
from shippyard.backup.layout import Layout
from shippyard.backup.model import Backup, BackupFailed, new_id
from shippyard.backup.seal import seal_of
from shippyard.backup.service import BackupService
from shippyard.backup.turns import BackupBusy, Order, Workshop, alone
from shippyard.calendar.jobs import Job
from shippyard.calendar.scheduler import Scheduler
from shippyard.config.models import Config
from shippyard.host.clock import SystemClock
from shippyard.host.process import Processes
from shippyard.postgres.target import Target
from shippyard.state.database import State, StateUnusable, _engine, open_state
from shippyard.state.jobs import JobLog
from shippyard.telemetry.metrics import Metrics

HELD_S = 0.03
BEGIN = datetime(2023, 1, 1, 2, 30, tzinfo=UTC)
"""A day for each race, all over by now: the timer begins at once what is overdue."""
TICK_S = 0.005
SETTLE_MAX_S = 20.0

Said = dict[str, Any]


class DayClock:
    """A wall clock that stands still until the race says which day it is."""

    def __init__(self) -> None:
        self.day = 0

    def now(self) -> datetime:
        """A quarter of an hour after the job of this round is due."""
        return BEGIN + timedelta(days=self.day)

    def monotonic(self) -> float:
        """Goes on, whatever the race says."""
        return time.monotonic()


class Racer:
    """What one daemon has: `shared` is of both, `own` of this one alone."""

    def __init__(self, folder: Path, name: str, target: Target) -> None:
        self.name, self.target = name, target
        self.folder, self.shared, self.own = folder, folder / "both", folder / name
        self.processes = Processes()
        self.clock = DayClock()
        self.round = 0
        self.server = psycopg.connect(**target.conninfo(), autocommit=True)
        # Past the lock of the state folder: here it is the rows that must keep two apart.
        self.scheduler = self._scheduler(State(_engine(self.shared / "state" / "state.sqlite3")))
        self.modes: dict[str, Callable[[], str]] = {
            "state": self.one_state,
            "folder": lambda: self.locked(self.shared),
            "server": lambda: self.locked(self.own),
            "door": self.one_door,
            "dump": self.whole_dump,
        }

    def one_state(self) -> str:
        """A job comes due for both schedulers at the same moment."""
        self.clock.day = self.round
        self.scheduler.look()
        deadline = time.monotonic() + SETTLE_MAX_S
        while time.monotonic() < deadline:
            time.sleep(TICK_S)
            last = self.scheduler.describe()[0]["last"]
            if last and last["finished_at"] and last["due_at"] >= self._due():
                return "settled"
        return "not settled"

    def locked(self, folder: Path) -> str:
        """Both begin the same backup: the locks on disk, and those on the server."""
        now = SystemClock().now()
        planned = Backup(new_id("dump", now), "shop", "dump", "planned", "manual", now)
        order = Order(planned, "main", self.target, _never)
        try:
            with alone(self._shop(folder), order, lambda _: None):
                self.work()
        except BackupBusy:
            return "busy"
        return "won"

    def one_door(self) -> str:
        """Both daemons start on one state folder."""
        try:
            with open_state(self.folder / "door"):
                self.work()
        except StateUnusable as error:
            return "busy" if "in use by another" in str(error) else str(error)
        return "won"

    def whole_dump(self) -> str:
        """Both take a whole dump into one folder; each has a state of its own."""
        with open_state(self.own / "state") as state:
            service = BackupService(
                self._config(self.shared),
                {"shop": self.target},
                processes=self.processes,
                state=state,
                metrics=Metrics(),
                clock=SystemClock(),
            )
            try:
                service.run("shop", "dump", "manual")
            except BackupBusy:
                return "busy"
            except BackupFailed as error:
                return str(error)
        return "won"

    def work(self) -> str:
        """Be at it for a moment; the server says from when to when."""
        begun = self._moment()
        time.sleep(HELD_S)
        self.server.execute(
            "INSERT INTO worked VALUES (%s, %s, %s, clock_timestamp())",
            (self.round, self.name, begun),
        )
        return "done"

    def _moment(self) -> datetime:
        row = self.server.execute("SELECT clock_timestamp()").fetchone()
        assert row is not None, "a SELECT of one row"
        moment: datetime = row[0]
        return moment

    def _due(self) -> str:
        return self.clock.now().replace(minute=15).isoformat()

    def _scheduler(self, state: State) -> Scheduler:
        scheduler = Scheduler(
            [Job("dump", "15 2 * * *", "UTC", self.work)],
            JobLog(state),
            clock=self.clock,
            metrics=Metrics(),
            beat=lambda: None,
            tick_s=3600,
        )
        scheduler.start()
        return scheduler

    def _shop(self, folder: Path) -> Workshop:
        config, clock = self._config(folder), SystemClock()
        layout = Layout(config.backup.dir)
        layout.prepare("shop")
        catalog = Catalog(State(_engine(self.shared / "state" / "state.sqlite3")))
        return Workshop(config, layout, catalog, seal_of(config), self.processes, clock)

    def _config(self, folder: Path) -> Config:
        login = {"user": self.target.user}
        shop = {"name": "shop", "dbname": "shop", "monitor": login, "backup": login}
        return Config.model_validate(
            {
                "environment": "testing",
                "daemon": {"state_dir": folder / "state"},
                "backup": {"dir": folder / "backups"},
                "databases": [shop],
            }
        )


def _never() -> Any:
    raise AssertionError("the locks alone are raced for")


def main(folder: str, name: str, host: str) -> None:
    """Race when a line says so: `{"round": 7, "mode": "folder", "at": 123.4}`."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    racer = Racer(Path(folder), name, Target(host, 5432, "shop", "postgres"))
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        asked: Said = json.loads(line)
        racer.round = int(asked["round"])
        while time.monotonic() < asked["at"]:  # both are off at the same moment
            pass
        print(json.dumps({"ended": racer.modes[asked["mode"]]()}), flush=True)
    racer.scheduler.stop()
    racer.processes.end_all()


if __name__ == "__main__":
    main(*sys.argv[1:])
