"""Owns what the daemon finds wrong with itself and around it: jobs, checks, state, room on disks.

It asks the rooms every few seconds and tells alerting. It mends nothing, and decides only what is
wrong; how long that must last, and who hears of it, alerting knows.
"""

import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from shippyard.config.alerting import Severity
from shippyard.config.models import Database
from shippyard.health.live import LiveHealth
from shippyard.health.model import Finding, Observation
from shippyard.health.status import PollerStatus
from shippyard.status import JOB_GRACE_S, Rooms

EVERY_S = 5.0
STOP_S = 1.0
LIMIT_S = 60.0

Where = tuple[str, str]
"""Cluster and database."""
OWN: Where = ("shippyard", "daemon")
"""What stands in an incident of the daemon itself where others name these."""

JOB_MISSED = "job_missed"
CHECK_FAILING = "check_failing"
DEGRADED = "daemon_degraded"
DISK_LOW = "disk_low"
RULES = (JOB_MISSED, CHECK_FAILING, DEGRADED, DISK_LOW)

CHECK_FOR_S = 300.0
DEGRADED_FOR_S = 30.0
DISK_FOR_S = 30.0
DISK_PAGE_RATIO, DISK_TICKET_RATIO = 0.05, 0.1
SERVER_FREE_MIN_BYTES = 2 * 1024**3
"""Of the server's own disk only what is free is known, not how large it is."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Sources:
    """Whom it asks. `free_bytes` is what is free where a database's files are, None if unknown."""

    databases: Sequence[Database]
    statuses: Callable[[], Sequence[PollerStatus]]
    missed_jobs: Callable[[], Mapping[str, float]]
    stuck: Callable[[], Sequence[str]]
    is_state_unwritable: Callable[[], bool]
    free_bytes: Callable[[str], int | None]
    folders: Mapping[str, Path]


def sources_of(rooms: Rooms, live: LiveHealth) -> Sources:
    """The rooms, as they are asked here."""

    def free_bytes(database: str) -> int | None:
        facts = live.facts(database)
        return facts.disk_free_bytes if facts else None

    config = rooms.config
    return Sources(
        config.databases,
        lambda: [poller.status() for poller in rooms.pollers],
        lambda: rooms.scheduler.overdue(JOB_GRACE_S),
        rooms.pulse.stuck,
        lambda: rooms.alerting.is_state_unwritable,
        free_bytes,
        {"state": config.daemon.state_dir, "backups": config.backup.dir},
    )


class SelfWatch:
    """Looks every few seconds, from start to stop."""

    def __init__(
        self,
        sources: Sources,
        observe: Callable[[Observation], None],
        register: Callable[[str, float], Callable[[], None]],
        forget: Callable[[str], None],
    ) -> None:
        self._sources = sources
        self._observe = observe
        self._register = register
        self._forget = forget
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="selfwatch", daemon=True)

    def start(self) -> None:
        """Begin; a second start, or one after a stop, does nothing."""
        if self._thread.ident is None and not self._stopping.is_set():
            self._thread.start()

    def stop(self) -> None:
        """End soon."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(STOP_S)
        self._forget("selfwatch")

    def _run(self) -> None:
        beat = self._register("selfwatch", LIMIT_S)
        while not self._stopping.wait(EVERY_S):
            beat()
            for look in looks(self._sources):
                self._take(look)
        self._forget("selfwatch")

    def _take(self, look: Callable[[], Iterable[Observation]]) -> None:
        """A look that failed saw nothing, and ends nothing."""
        try:
            for seen in look():
                self._observe(seen)
        except Exception:
            log.exception("selfwatch.look_failed")


def looks(sources: Sources) -> list[Callable[[], Iterable[Observation]]]:
    """One look for each thing that can be wrong: one that can't be had takes no other with it."""
    return [
        lambda: [_degraded(sources.stuck(), is_state_unwritable=sources.is_state_unwritable())],
        lambda: [_own_disks(sources.folders)],
        lambda: [_jobs(sources.missed_jobs())],
        lambda: [_checks(status) for status in sources.statuses() if status.up],
        lambda: _server_disks(sources),
    ]


def _jobs(missed: Mapping[str, float]) -> Observation:
    parts = {
        name: Finding(
            f"job {name} was due {late_s:.0f} s ago and has not begun: "
            "see shippyard ctl jobs, and the daemon's log for why",
            {"job": name, "late_s": round(late_s)},
        )
        for name, late_s in missed.items()
    }
    return _observation(JOB_MISSED, OWN, "ticket", 0.0, parts)


def _checks(status: PollerStatus) -> Observation:
    """Of a database that is down nothing is said: its checks fail too, and that is told already."""
    failing = [each for each in status.checks if not each.ok and not each.lack]
    parts = {
        each.name: Finding(
            f"check {each.name} of {status.name} gives only errors: {each.error}; "
            f"what it watches is not known. See: shippyard ctl health {status.name}",
            {"check": each.name, "error": each.error},
        )
        for each in failing
    }
    where = (status.cluster, status.name)
    return _observation(CHECK_FAILING, where, "ticket", CHECK_FOR_S, parts)


def _degraded(stuck: Sequence[str], *, is_state_unwritable: bool) -> Observation:
    parts = {
        loop: Finding(
            f"the daemon's loop {loop} does not turn; if it does not come back: "
            "systemctl restart shippyard",
            {"loop": loop},
        )
        for loop in stuck
    }
    if is_state_unwritable:
        parts["state"] = Finding(
            "the state database can't be written; pages go out from memory, and a restart would "
            "forget them: make room, or mend daemon.state_dir",
            {"state": "unwritable"},
        )
    return _observation(DEGRADED, OWN, "page", DEGRADED_FOR_S, parts)


def _own_disks(folders: Mapping[str, Path]) -> Observation:
    """What is bad is told even where not all can be seen; that all is well is not."""
    parts: dict[str, Finding] = {}
    worst, unseen = 1.0, None
    for name, folder in folders.items():
        try:
            ratio, free_bytes = _room(folder)
        except OSError as error:
            unseen = error
            continue
        if ratio < DISK_TICKET_RATIO:
            worst = min(worst, ratio)
            parts[name] = Finding(
                f"{ratio:.0%} is free where {name} is kept ({folder}): make room",
                {"folder": str(folder), "free_bytes": free_bytes, "free_ratio": round(ratio, 4)},
            )
    if unseen is not None and not parts:
        raise unseen
    severity: Severity = "page" if worst < DISK_PAGE_RATIO else "ticket"
    return _observation(DISK_LOW, OWN, severity, DISK_FOR_S, parts)


def _room(folder: Path) -> tuple[float, int]:
    """What is free, as a part and in bytes.

    Raises:
        OSError: nobody can say.
    """
    room = shutil.disk_usage(folder)
    return room.free / max(1, room.total), room.free


def _server_disks(sources: Sources) -> Iterator[Observation]:
    """Of those servers whose files are on this machine."""
    for database in sources.databases:
        free_bytes = sources.free_bytes(database.name)
        if free_bytes is not None:
            yield _server_disk(database, free_bytes)


def _server_disk(database: Database, free_bytes: int) -> Observation:
    finding = Finding(
        f"{free_bytes / 1024**3:.1f} GiB are free where {database.cluster} keeps its files: "
        "when they are used up the server stops. Make room: old logs, slots that keep WAL, then "
        "what is large (panel Largest tables)",
        {"free_bytes": free_bytes},
    )
    parts = {"server": finding} if free_bytes < SERVER_FREE_MIN_BYTES else {}
    where = (database.cluster, database.name)
    return _observation(DISK_LOW, where, "page", DISK_FOR_S, parts)


def _observation(
    rule: str, where: Where, severity: Severity, for_s: float, parts: Mapping[str, Finding]
) -> Observation:
    whole = next(iter(parts.values()), None)
    return Observation(rule, *where, severity, for_s, whole, parts)
