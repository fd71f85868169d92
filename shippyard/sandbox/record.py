"""Owns knowing whose a sandbox is: a lock held while its owner lives, and its server's pid.

A pid alone is never believed: it is that server while it also started at the very same moment.
"""

import contextlib
import fcntl
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from shippyard.host.clock import Clock
from shippyard.host.files import write_atomically

LOCK = "owner.lock"
FILE = "record.json"
END_S = 5.0
POLL_S = 0.02


@dataclass(frozen=True)
class Record:
    """Where a sandbox's socket is, and its server; `started` is in the kernel's own ticks."""

    socket_dir: str
    pid: int | None = None
    started: int | None = None


@contextlib.contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Hold a sandbox for the length of a block; the kernel lets go when we die.

    Raises:
        BlockingIOError: somebody living holds it.
        OSError: there is nothing to hold.
    """
    opened = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(opened)


def write(folder: Path, record: Record) -> None:
    """Remember, durably."""
    write_atomically(folder / FILE, json.dumps(asdict(record)).encode())


def read(folder: Path) -> Record | None:
    """What was remembered; None when nothing legible was."""
    try:
        return Record(**json.loads((folder / FILE).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def started_at(pid: int) -> int | None:
    """When a process started, in ticks since boot; None when there is none that works."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        said = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if said[0] in "ZX" else int(said[19])
    return None


def end_server(record: Record, folder: Path, clock: Clock) -> None:
    """End the recorded server and what it started, if it still is that one."""
    if record.pid and record.started and started_at(record.pid) == record.started:
        _signal(record.pid, signal.SIGQUIT)
        if not _gone(lambda: started_at(record.pid or 0) != record.started, clock):
            _signal(record.pid, signal.SIGKILL)
    # Its children notice that it is gone by themselves.
    _gone(lambda: not inside(folder), clock)


def inside(folder: Path) -> list[int]:
    """Processes that work in a folder below `folder`."""
    root = f"{folder.resolve()}/"
    return [pid for pid in _pids() if f"{_working_in(pid)}/".startswith(root)]


def _gone(is_true: Callable[[], bool], clock: Clock) -> bool:
    pause, deadline = threading.Event(), clock.monotonic() + END_S
    while not is_true():
        if clock.monotonic() > deadline:
            return False
        pause.wait(POLL_S)
    return True


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _working_in(pid: int) -> str:
    with contextlib.suppress(OSError):
        return str(Path(f"/proc/{pid}/cwd").readlink())
    return ""
