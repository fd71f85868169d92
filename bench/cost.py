"""Owns what a piece of work costs: wall time, and CPU of both sides, ours and the server's.

Figures of one run on one machine; only their ratio means anything elsewhere.
"""

import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """What one piece of work took, and how large its result is."""

    wall_s: float
    cpu_s: float
    size_bytes: int

    def ratios(self, other: "Cost") -> tuple[float, float, float]:
        """This one's wall time, CPU and size as parts of the other's."""
        return (
            self.wall_s / other.wall_s,
            self.cpu_s / other.cpu_s,
            self.size_bytes / other.size_bytes,
        )

    def __str__(self) -> str:
        return f"{self.wall_s:.1f} s, CPU {self.cpu_s:.1f} s, {self.size_bytes / 1e6:.0f} MB"


def cost_of(postmaster: int, work: Callable[[], Path]) -> Cost:
    """Do `work`, which gives the file or folder it made, on the server of this process id.

    CPU is that of this process, the programs it waits for, and the server with its backends.
    """
    cpu_before, begun = _cpu_s(postmaster), time.monotonic()
    made = work()
    wall_s = time.monotonic() - begun
    return Cost(wall_s, _cpu_s(postmaster) - cpu_before, size_of(made))


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(file.stat().st_size for file in files)


def _cpu_s(postmaster: int) -> float:
    ours = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in ours) + _server_cpu_s(postmaster)


def _server_cpu_s(postmaster: int) -> float:
    """The server's own, that of backends that have ended, and that of those that live."""
    listing = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text()
    live = sum(_ticks(int(pid))[0] for pid in listing.split())
    return (sum(_ticks(postmaster)) + live) / _TICKS_PER_S


def _ticks(pid: int) -> tuple[int, int]:
    """CPU ticks of a process, and of its children that were waited for (proc(5), stat)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0, 0
    return int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
