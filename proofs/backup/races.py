"""Proves that two daemons never do the same work at once, by letting two real processes race.

Each round both are off at the same moment of one clock, on one real server and real folders:

- `state`: two schedulers on one job log see one due time (one machine, the state's lock passed by)
- `folder`: two daemons with states of their own begin one backup in one folder
- `server`: two daemons of two machines, nothing shared but the server, begin one backup
- `door`: two daemons start on one state folder
- `dump`: two daemons take a whole dump into one folder

The server's own clock says who worked from when to when.
"""

import contextlib
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from proofs.program import own_environment
from proofs.rig import scratch_cluster
from proofs.table import ROOT, Context, Outcome, Row
from shippyard.host.process import Processes
from shippyard.postgres.target import Target
from shippyard.state.database import open_state

NAMES = ("one", "two")
LEAD_S = 0.003
DOOR_EVERY, DUMP_EVERY = 15, 30
SHOWN = 5

SETUP = """
CREATE TABLE worked (round int, who text, begun timestamptz, ended timestamptz);
CREATE TABLE stock AS SELECT n, md5(n::text) AS what FROM generate_series(1, 2000) n
"""
OVERLAPS = """
SELECT a.round FROM worked a JOIN worked b ON a.ctid < b.ctid AND a.round = b.round
 WHERE a.begun < b.ended AND b.begun < a.ended
"""


@dataclass
class Races:
    """How the rounds went: what each of the two said, by round."""

    modes: dict[int, str] = field(default_factory=dict)
    ended: dict[int, list[str]] = field(default_factory=dict)

    def contended(self) -> int:
        """Rounds in which the second one met the first."""
        return sum("busy" in ended for ended in self.ended.values())

    def problems(self) -> Iterator[str]:
        """Rounds in which nobody worked, or somebody failed."""
        for number, ended in self.ended.items():
            mode = self.modes[number]
            if strange := set(ended) - {"won", "busy", "settled"}:
                yield f"round {number} ({mode}): {strange.pop()}"
            if mode != "state" and "won" not in ended:
                yield f"round {number} ({mode}): nobody did the work"


class Rival:
    """One of the two processes."""

    def __init__(self, folder: Path, name: str, host: str) -> None:
        (folder / name).mkdir()
        with (folder / f"{name}.err").open("wb") as err:
            self._popen = subprocess.Popen(
                [sys.executable, "-m", "proofs.backup.racer", str(folder), name, host],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=err,
                cwd=ROOT,
                env={**own_environment(), "PYTHONUNBUFFERED": "1"},
                text=True,
            )
        self._err = folder / f"{name}.err"
        self.answer()

    def ask(self, **asked: Any) -> None:
        """Tell it when it is off, and for what."""
        assert self._popen.stdin is not None, "it was given one"
        self._popen.stdin.write(json.dumps(asked) + "\n")
        self._popen.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """What it said last."""
        assert self._popen.stdout is not None, "it was given one"
        line = self._popen.stdout.readline()
        if not line:
            raise AssertionError(f"a racer died: {self._err.read_text()[-500:]}")
        said: dict[str, Any] = json.loads(line)
        return said

    def end(self) -> None:
        """Let it go in order, or make it."""
        with contextlib.suppress(BrokenPipeError):
            assert self._popen.stdin is not None, "it was given one"
            self._popen.stdin.close()
        try:
            self._popen.wait(10)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()


def races(context: Context) -> Outcome:
    """Race many times and ask the server who worked when."""
    rounds = context.count(full=1_000, quick=30)
    begun = time.monotonic()
    with _track(context.folder) as (target, rivals):
        run = _run(context, rivals, rounds)
        overlaps, twice = _judge(target, run)
        dumps = _dumps(context.folder)
    won = sum(ended.count("won") for n, ended in run.ended.items() if run.modes[n] == "dump")
    problems = [
        *run.problems(),
        *(f"round {n} ({run.modes[n]}): both at once" for n in overlaps),
        *(f"round {n} ({run.modes[n]}): {count} times" for n, count in twice.items()),
        *([] if dumps == won else [f"{won} dumps were taken and {dumps} are there"]),
    ]
    counts = ", ".join(f"{count} {mode}" for mode, count in Counter(run.modes.values()).items())
    measured = (
        f"{rounds} races of two processes ({counts}): {len(overlaps)} overlaps, "
        f"{len(twice)} due times not worked on exactly once; in {run.contended()} the second "
        f"met the first and left; {time.monotonic() - begun:.0f} s"
    )
    return Outcome(measured, ok=not problems, note="; ".join(problems[:SHOWN]))


def _run(context: Context, rivals: list[Rival], rounds: int) -> Races:
    run = Races()
    for number in range(1, rounds + 1):
        mode = run.modes[number] = _mode(number)
        at = time.monotonic() + LEAD_S
        for rival in rivals:
            rival.ask(round=number, mode=mode, at=at)
        run.ended[number] = [rival.answer()["ended"] for rival in rivals]
        if number % 200 == 0:
            context.say(f"{number} races")
    return run


def _mode(number: int) -> str:
    if number % DUMP_EVERY == 0:
        return "dump"
    if number % DOOR_EVERY == 0:
        return "door"
    return ("state", "folder", "server")[number % 3]


def _judge(target: Target, run: Races) -> tuple[list[int], dict[int, int]]:
    """Rounds with two at once, and due times that were not worked on exactly once."""
    with psycopg.connect(**target.conninfo()) as connection:
        overlaps = [int(row[0]) for row in connection.execute(OVERLAPS)]
        counted = connection.execute("SELECT round, count(*) FROM worked GROUP BY 1").fetchall()
    times = {int(number): int(count) for number, count in counted}
    due = [number for number, mode in run.modes.items() if mode == "state"]
    return overlaps, {n: times.get(n, 0) for n in due if times.get(n, 0) != 1}


def _dumps(folder: Path) -> int:
    found = (folder / "both" / "backups" / "shop").glob("[0-9]*-dump-*")
    return sum(1 for _ in found)


@contextlib.contextmanager
def _track(folder: Path) -> Iterator[tuple[Target, list[Rival]]]:
    """A server, the folders, and the two, ready."""
    processes = Processes()
    with contextlib.ExitStack() as undo:
        undo.callback(processes.end_all)
        cluster = undo.enter_context(scratch_cluster(folder / "postgres", processes))
        with psycopg.connect(**cluster.target().conninfo(), autocommit=True) as connection:
            connection.execute("CREATE DATABASE shop")
        target = cluster.target("shop")
        with psycopg.connect(**target.conninfo(), autocommit=True) as connection:
            connection.execute(SETUP)
        with open_state(folder / "both" / "state"):
            pass
        rivals = []
        for name in NAMES:
            rival = Rival(folder, name, str(cluster.socket_dir))
            undo.callback(rival.end)
            rivals.append(rival)
        yield target, rivals


ROWS: tuple[Row, ...] = (
    Row(
        "races",
        "two daemons race for the same due job, backup, state folder and dump",
        "0 overlaps in 1,000, each due time once",
        races,
    ),
)
