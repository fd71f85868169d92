"""Proves that a disk that fails in the middle of a backup costs that backup, a page, and no more.

Faults come from outside: a filesystem of its own that is filled, a limit on file sizes, the mount
or the folder taken away.
"""

import os
import random
import resource
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from proofs.backup.making import (
    KINDS,
    Asked,
    asked,
    partial_bytes,
    partials,
    prepare,
    published,
    take,
    unsound,
)
from proofs.rig import Document, Rig, rig
from proofs.table import Context, CouldNotRun, Outcome
from proofs.waiting import until

PAGE_GOAL_S = 60.0
DISK_MB = 1200
RULE = "backup_failed"
SMALLEST_LIMIT_BYTES = 1024 * 1024

Fault = Callable[[Rig], Callable[[], None]]
"""Breaks something; gives what mends it."""


@dataclass
class Seen:
    """What the trials gave."""

    problems: list[str] = field(default_factory=list)
    pages: list[float] = field(default_factory=list)
    failed: int = 0
    too_late: int = 0


@dataclass(frozen=True)
class Plan:
    """Which fault comes in which backup, and when."""

    subject: str
    kind: str
    fault: str
    at_bytes: int

    def __str__(self) -> str:
        return f"{self.fault} in a {self.kind} at {self.at_bytes} bytes"


def faults(context: Context) -> Outcome:
    """Each fault at random points; then mend it, and see that the next backup succeeds."""
    if os.geteuid() != 0:
        raise CouldNotRun("a filesystem to fill needs root")
    chance = random.Random(20260305)  # the same points each time
    seen = Seen()
    with rig(context) as stage, _disk(stage, context.folder):
        prepare(stage)
        stage.start()
        sizes = {kind: take(stage, subject, kind)["size_bytes"] for subject, kind in KINDS}
        trials = context.count(full=50, quick=4)
        for trial in range(trials):
            subject, kind = KINDS[trial // len(FAULTS) % len(KINDS)]
            name = list(FAULTS)[trial % len(FAULTS)]
            at = int(chance.uniform(0.02, 0.8) * sizes[kind])
            _trial(stage, Plan(subject, kind, name, at), seen)
            if trial % 10 == 9:
                context.say(f"{trial + 1} of {trials}, {len(seen.problems)} problems")
        seen.problems += unsound(stage)
    measured = (
        f"{trials} faults ({', '.join(FAULTS)}): {seen.failed} backups failed, {seen.too_late} "
        f"were done before; 0 false successes, published unchanged; page "
        f"{statistics.median(seen.pages):.1f} s, at most {max(seen.pages):.1f} s"
    )
    ok = not seen.problems and max(seen.pages) <= PAGE_GOAL_S
    return Outcome(measured, ok, "; ".join(seen.problems[:5]))


def _trial(stage: Rig, plan: Plan, seen: Seen) -> None:
    subject, kind, at, where = plan.subject, plan.kind, plan.at_bytes, str(plan)
    before = published(stage)
    since = time.monotonic()
    with asked(stage, subject, kind) as work:
        until(lambda: partial_bytes(stage) >= at or work.ended, 60, f"{where}: bytes written")
        broke = time.monotonic()
        mend = FAULTS[plan.fault](stage)
        until(lambda: work.ended, 60, f"{where}: the end")
    if work.error:
        page = stage.pager.wait_for(RULE, "trigger", since, PAGE_GOAL_S)
        seen.pages.append(page.at - broke)
        seen.failed += 1
        seen.problems += _fault_in_page(where, page.incident, kind)
    else:
        seen.too_late += 1
    mend()
    seen.problems += _untouched(stage, before, work, where)
    take(stage, subject, kind)
    if work.error:
        stage.pager.wait_for(RULE, "resolve", since, PAGE_GOAL_S)


def _fault_in_page(where: str, incident: Document, kind: str) -> list[str]:
    said = f"{kind} backup of "
    return [] if said in incident["summary"] else [f"{where}: the page says {incident['summary']}"]


def _untouched(stage: Rig, before: dict[str, str], work: Asked, where: str) -> list[str]:
    after = published(stage)
    problems = [f"{where}: {n} is gone or changed" for n, h in before.items() if after.get(n) != h]
    new = {name.split("/")[1] for name in after.keys() - before.keys()}
    claimed = {each["id"] for each in work.taken}
    if new != claimed:
        problems.append(f"{where}: {sorted(new)} are visible, {sorted(claimed)} were claimed")
    # What a full or absent disk keeps from being swept now, the next start sweeps.
    return problems


@contextmanager
def _disk(stage: Rig, folder: Path) -> Iterator[None]:
    """A filesystem of its own, bound to where backups go."""
    image, disk = folder / "disk.img", folder / "disk"
    disk.mkdir()
    stage.backups.mkdir()
    with image.open("wb") as file:
        file.truncate(DISK_MB * 1024 * 1024)
    _sh("mkfs.ext4", "-q", "-F", "-m", "0", str(image))
    _sh("mount", "-o", "loop", str(image), str(disk))
    inside = disk / "backups"
    inside.mkdir(mode=0o700)
    try:
        _sh("mount", "--bind", str(inside), str(stage.backups))
        yield
    finally:
        stage.stop()
        for mount in (stage.backups, disk):
            subprocess.run(["umount", "-l", str(mount)], check=False, capture_output=True)


def _full(stage: Rig) -> Callable[[], None]:
    """Fill the filesystem to its last block."""
    ballast = stage.backups.parent / "disk" / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        free = shutil.disk_usage(ballast.parent).free
        os.posix_fallocate(file.fileno(), 0, max(0, free - 64 * 1024))
        while True:
            file.seek(0, os.SEEK_END)
            file.write(b"\0" * 4096)
    return ballast.unlink


def _cut_off(stage: Rig) -> Callable[[], None]:
    """No file may grow past what the biggest partial has now, as on a failing device."""
    assert stage.daemon is not None
    limit = max(partial_bytes(stage) // 2, SMALLEST_LIMIT_BYTES)
    pids = [stage.daemon.pid, *stage.daemon.children()]
    for pid in pids:
        _limit(pid, limit)
    return lambda: _limit(pids[0], resource.RLIM_INFINITY)


def _limit(pid: int, limit: int) -> None:
    with suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))


def _gone(stage: Rig) -> Callable[[], None]:
    """The folder that is being written is deleted."""
    for folder in partials(stage):
        shutil.rmtree(folder, ignore_errors=True)
    return lambda: None


def _away(stage: Rig) -> Callable[[], None]:
    """The disk goes away under the daemon, and comes back."""
    inside = stage.backups.parent / "disk" / "backups"
    _sh("umount", "-l", str(stage.backups))
    return lambda: _sh("mount", "--bind", str(inside), str(stage.backups))


def _sh(*argv: str) -> None:
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    if done.returncode:
        raise CouldNotRun(f"{argv[0]}: {done.stderr.strip()}")


FAULTS: dict[str, Fault] = {"full": _full, "cut off": _cut_off, "gone": _gone, "away": _away}
