"""Owns application traffic by pgbench: short statements at a fixed rate, each one timed.

A statement's time runs from when it was due, so one that had to wait for its turn is counted
with its wait. Knows what users are, and nothing of what is done to them meanwhile.
"""

import contextlib
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from proofs.table import CouldNotRun
from shippyard.host.process import Child, Processes
from shippyard.postgres.target import Target
from shippyard.postgres.tools import Tools, ToolsMissing

STOP_S = 10.0
CLIENTS = 8
DURATION_S = 3600

READ = """\\set n random(1, {users})
SELECT id, full_name, email, status FROM users WHERE id = md5(:n::text)::uuid;
"""
WRITE = """\\set n random(1, {users})
UPDATE users SET phone = '+49' || :n, updated_at = now() WHERE id = md5(:n::text)::uuid;
"""


@dataclass(frozen=True)
class Latencies:
    """Times of all statements, in milliseconds, sorted."""

    ms: tuple[float, ...]

    def quantile(self, share: float) -> float:
        """The time that `share` of the statements stayed under."""
        return self.ms[min(int(len(self.ms) * share), len(self.ms) - 1)]

    @property
    def longest(self) -> float:
        """The slowest of all."""
        return self.ms[-1]

    def __str__(self) -> str:
        return (
            f"p50 {statistics.median(self.ms):.1f}, p99 {self.quantile(0.99):.0f}, "
            f"longest {self.longest:.0f} ms"
        )


class Traffic:
    """A pgbench that runs; `latencies` may be asked for once it has ended."""

    def __init__(self, folder: Path, child: Child) -> None:
        self._folder = folder
        self._child = child

    @property
    def running(self) -> bool:
        """Whether it still sends statements."""
        return self._child.running

    def latencies(self) -> Latencies:
        """Every statement's time."""
        return Latencies(tuple(sorted(ms for _, ms in self.ended())))

    def ended(self) -> list[tuple[float, float]]:
        """When each of a script's transactions ended (seconds since 1970), and its time in ms."""
        texts = [log.read_text() for log in self._folder.glob("pgbench_log.*")]
        # what it had not written when it was ended is cut off in the middle of a line
        lines = [line.split() for text in texts for line in text.rpartition("\n")[0].splitlines()]
        # client, transaction, time in us, script, seconds, microseconds, lag in us
        return [(int(each[4]) + int(each[5]) / 1e6, int(each[2]) / 1000) for each in lines]


@contextlib.contextmanager
def traffic(
    target: Target, tools: Tools, processes: Processes, folder: Path, *, users: int, per_s: int
) -> Iterator[Traffic]:
    """One read and one write of single users, `per_s` times a second each, for a block.

    Raises:
        CouldNotRun: there is no pgbench.
    """
    scripts = {"read": READ.format(users=users), "write": WRITE.format(users=users)}
    with pgbench(target, tools, processes, folder, scripts, rate=2 * per_s) as made:
        yield made


@contextlib.contextmanager
def pgbench(
    target: Target,
    tools: Tools,
    processes: Processes,
    folder: Path,
    scripts: Mapping[str, str],
    *,
    rate: int | None,
    clients: int = CLIENTS,
) -> Iterator[Traffic]:
    """Scripts in turn, `rate` times a second in all or as fast as may be, for a block.

    Raises:
        CouldNotRun: there is no pgbench.
    """
    folder.mkdir()
    for name, script in scripts.items():
        (folder / f"{name}.sql").write_text(script)
    try:
        program = tools.path("pgbench")
    except ToolsMissing as error:
        raise CouldNotRun(str(error)) from None
    argv = [
        program,
        "--no-vacuum",
        f"--host={target.host}",
        f"--port={target.port}",
        f"--username={target.user}",
        f"--client={clients}",
        f"--time={DURATION_S}",
        *([f"--rate={rate}"] if rate else []),
        "--protocol=prepared",
        "--log",
        *(f"--file={name}.sql" for name in scripts),
        target.dbname,
    ]
    with processes.start(argv, cwd=folder) as child:
        made = Traffic(folder, child)
        yield made
        if not made.running:
            raise AssertionError(f"pgbench ended by itself: {child.stderr_tail()}")
        child.interrupt()
        child.wait(STOP_S)
