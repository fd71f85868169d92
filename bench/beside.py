"""Owns traffic beside which something else is done: starts it, deploys code, ends it.

The other end is `bench.traffic`, a process of its own, so that what this one does slows it no more
than any other program would.
"""

import json
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psycopg

from bench.samples import Statement, read
from shippyard.host.process import Processes
from shippyard.postgres.target import Target

ROOT = Path(__file__).resolve().parents[1]
READY_TIMEOUT_S = 60.0
DEPLOYED_WITHIN_S = 660.0
ENDED_WITHIN_S = 660.0
CONNECTIONS = 48
PEOPLE = 20_000

# Closed accounts are not let in. In the order of a hash: the same people each time.
PEOPLE_SQL = """
SELECT id::text, email FROM users WHERE status <> 'closed' ORDER BY md5(id::text) LIMIT %s
"""


class TrafficFailed(Exception):
    """The traffic did not do what it was told, so that nothing it measured counts."""


@dataclass
class Traffic:
    """Traffic under way. What it did is in `statements` and `written` once it has ended."""

    answers: IO[str]
    orders: IO[str]
    file: Path

    def deploy(self, *codes: str) -> None:
        """Have these codes serve.

        Returns when the last transaction of any other has ended, and nobody waits for a connection.

        Raises:
            TrafficFailed: it did not end in time.
        """
        self.orders.write(json.dumps(codes) + "\n")
        self.orders.flush()
        if (said := self.answers.readline().strip()) != "done":
            raise TrafficFailed(f"deploying {', '.join(codes)}: {said or 'no answer'}")

    @property
    def statements(self) -> list[Statement]:
        """Everything that was asked of the database."""
        return read(self.file)

    @property
    def written(self) -> dict[str, str]:
        """By id, the e-mail that the database last said it wrote."""
        said: dict[str, str] = json.loads(self.file.with_suffix(".people").read_text())
        return said


@contextmanager
def traffic(
    processes: Processes, application: Target, folder: Path, rate: float
) -> Iterator[Traffic]:
    """Traffic for the length of a block, of `rate` users a second; no code is deployed yet.

    Raises:
        TrafficFailed: it did not start, or did not serve everyone who came.
    """
    file, door = folder / "statements", folder / "traffic.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(door))
        listener.listen(1)
        listener.settimeout(READY_TIMEOUT_S)
        argv = [sys.executable, "-m", "bench.traffic", str(door), str(file)]
        with processes.start(argv, cwd=ROOT) as child:
            told, _ = listener.accept()
            told.settimeout(DEPLOYED_WITHIN_S)
            with told, told.makefile("r") as answers, told.makefile("w") as orders:
                orders.write(json.dumps(_asked(application, rate)) + "\n")
                orders.flush()
                if answers.readline().strip() != "ready":
                    raise TrafficFailed(f"it did not start: {child.stderr_tail()[-500:]}")
                yield Traffic(answers, orders, file)
                told.shutdown(socket.SHUT_WR)
                status = child.wait(ENDED_WITHIN_S)
            if status:
                raise TrafficFailed(f"it ended badly: {child.stderr_tail()[-500:] or status}")


def _asked(application: Target, rate: float) -> dict[str, Any]:
    with psycopg.connect(**application.conninfo()) as connection:
        people = connection.execute(PEOPLE_SQL, [PEOPLE]).fetchall()
    return {
        "conninfo": application.conninfo(),
        "people": people,
        "rate": rate,
        "connections": CONNECTIONS,
        "seed": 1,
    }
