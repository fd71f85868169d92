"""Owns what asking the fast checks costs: a daemon with them alone, beside one with none of them.

Both are daemons of their own on the same crowded server, in the same minutes; nobody scrapes them.
The difference is what the checks cost. `python -m bench.passes [--minutes 3]`.
"""

import argparse
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.crowd import Crowd, connect, crowd
from bench.exporter import POLLED_EVERY_S, daemon
from shippyard.config.models import Health
from shippyard.health.loader import load_checks
from shippyard.host.process import Processes

SETTLE_S = 15.0


@dataclass(frozen=True)
class PassCost:
    """What all fast checks cost, in parts of one core. `idle` is a daemon's that asks nothing."""

    checks: int
    program: float
    server: float
    idle: float

    @property
    def core(self) -> float:
        """Of both sides."""
        return self.program + self.server

    def __str__(self) -> str:
        each_ms = self.core * POLLED_EVERY_S * 1000
        return (
            f"{self.checks} fast checks each {POLLED_EVERY_S} s: {self.core:.2%} of a core, "
            f"{each_ms:.1f} ms a pass (itself {self.program:.2%}, server {self.server:.2%}; "
            f"a daemon without checks {self.idle:.2%})"
        )


def measure(folder: Path, size: Crowd, length_s: float) -> PassCost:
    """The cost of a fast pass over so many seconds."""
    checks = load_checks(Health())
    slow = [each.name for each in checks if each.every_s > POLLED_EVERY_S]
    processes = Processes()
    with ExitStack() as undo:
        undo.callback(processes.end_all)
        cluster = undo.enter_context(crowd(folder / "postgres", processes, size))
        server = undo.enter_context(connect(cluster.target()))
        busy = undo.enter_context(daemon(cluster, folder, "busy", slow))
        idle = undo.enter_context(daemon(cluster, folder, "idle", [c.name for c in checks]))
        time.sleep(SETTLE_S)
        begun, before = time.monotonic(), [each.cpu_s(server) for each in (busy, idle)]
        time.sleep(length_s)
        after = [each.cpu_s(server) for each in (busy, idle)]
        took_s = time.monotonic() - begun
    (program, asked), (own, pinged) = [
        ((end[0] - start[0]) / took_s, (end[1] - start[1]) / took_s)
        for start, end in zip(before, after, strict=True)
    ]
    return PassCost(len(checks) - len(slow), program - own, asked - pinged, own)


def main() -> None:
    """Print what a pass costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shippyard-bench-") as folder:
        Path(folder).chmod(0o755)
        print(measure(Path(folder), Crowd(), asked.minutes * 60))


if __name__ == "__main__":
    main()
