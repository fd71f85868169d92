"""Owns the rows about a runner that is in the way: the watchdog's, and that of ten at once."""

import json
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from proofs.gate.course import Change, execute
from proofs.gate.ground import DATABASE, LIGHT, RATE, RUN_TIMEOUT_S, Ground, adding, ground
from proofs.table import Context, Outcome, Row
from proofs.waiting import until
from shippyard.host.process import PIPE, Child, own_module
from shippyard.migration.planner import Prepared
from shippyard.migration.supervise import Event
from shippyard.postgres.target import Target

CANCEL_MS = 400.0
LONGEST_MS = 500.0
REFUSED_S = 1.0
RUNNERS = 10
LOADED_WITHIN_S = 60.0
REST_S = 0.5

Ended = dict[str, Any]
"""A runner's last word."""


@dataclass
class Reader:
    """An application's session that reads a table again and again: when each began and ended."""

    target: Target
    table: str
    served: list[tuple[float, float]] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def read(self) -> None:
        """Until told to stop."""
        question = f"SELECT * FROM {self.table} WHERE id = 7".encode()
        with psycopg.connect(**self.target.conninfo(), autocommit=True) as opened:
            while not self.stop.wait(0.002):
                began = time.monotonic()
                opened.execute(question)
                self.served.append((began, time.monotonic()))


BLOCKING = (
    execute("LOCK TABLE ledger IN ACCESS EXCLUSIVE MODE", "SELECT pg_sleep(3)"),
    execute("ALTER TABLE ledger ALTER COLUMN amount TYPE numeric USING amount + random()"),
    execute("LOCK TABLE ledger IN ACCESS EXCLUSIVE MODE") + "\nimport time; time.sleep(1.5)",
)


def watchdog(context: Context) -> Outcome:
    """What blocks an application is cancelled: it sleeps, rewrites, or thinks in Python."""
    rounds = context.count(full=15, quick=2)
    cancelled: list[float] = []
    longest: list[float] = []
    problems: list[str] = []
    with ground(context) as made:
        for turn in range(rounds):
            found = _blocked_once(made, BLOCKING[turn % len(BLOCKING)])
            if found is None:
                problems.append(f"round {turn + 1}: nothing was cancelled")
                continue
            cancelled.append(found[0])
            longest.append(found[1])
    worst, slowest = max(cancelled, default=0.0), max(longest, default=0.0)
    if worst > CANCEL_MS or slowest > LONGEST_MS:
        problems.append("too late")
    measured = (
        f"{rounds} rounds: cancelled at most {worst:.0f} ms after the first session waited, the "
        f"application's longest statement {slowest:.0f} ms"
    )
    return Outcome(measured, not problems, "; ".join(problems))


def _blocked_once(made: Ground, upgrade: str) -> tuple[float, float] | None:
    """From the first wait to the cancel, and the longest statement, in ms; None without either.

    One attempt alone, so that the next one's waits are not taken for the first one's.
    """
    prepared = made.prepared({"001": Change(upgrade)}, lock_attempts=1)
    told: list[float] = []
    readers = [Reader(made.target, "ledger") for _ in range(4)]
    threads = [threading.Thread(target=each.read, daemon=True) for each in readers]
    for thread in threads:
        thread.start()

    def hear(event: Event) -> None:
        if event["event"] == "watchdog":
            told.append(time.monotonic())

    try:
        ending = made.yard.supervisor.run(prepared.run_spec("proof-dog"), RUN_TIMEOUT_S, hear)
    finally:
        for each in readers:
            each.stop.set()
        for thread in threads:
            thread.join(10.0)
    if ending.outcome != "failed" or not told:
        return None
    served = [each for reader in readers for each in reader.served]
    waiting = [began for began, ended in served if began < told[0] < ended]
    longest_ms = max(ended - began for began, ended in served) * 1000
    # where all had been let go when it was told, the longest wait is what the cancel took
    return (told[0] - min(waiting)) * 1000 if waiting else longest_ms, longest_ms


def ten_runners(context: Context) -> Outcome:
    """Ten at once, of plain changes and of concurrent builds."""
    rounds = context.count(full=10, quick=1)
    refused_s: list[float] = []
    problems: list[str] = []
    with ground(context) as made, made.traffic("traffic", LIGHT, RATE):
        for turn in range(rounds):
            made.yard.tell("DROP INDEX IF EXISTS many", DATABASE)
            upgrade = adding(f"many{turn}") if turn % 2 else CONCURRENT
            prepared = made.prepared({"001": upgrade})
            ended = _all_at_once(made, prepared)
            refused_s += [took for last, took in ended if last["event"] == "refused"]
            problems += _of_ten([last for last, _ in ended], turn)
        invalid = made.yard.ask("SELECT count(*) FROM pg_index WHERE NOT indisvalid", DATABASE)
    problems += [f"{invalid[0][0]} INVALID indexes"] if invalid[0][0] else []
    if max(refused_s, default=0.0) > REFUSED_S:
        problems.append("refused too late")
    measured = (
        f"{rounds} times {RUNNERS}: one ran, {len(refused_s) // rounds} were refused at most "
        f"{max(refused_s, default=0.0):.2f} s after they were told, 0 INVALID"
    )
    return Outcome(measured, not problems, "; ".join(problems))


CONCURRENT = Change(
    "with op.get_context().autocommit_block():\n"
    '    op.create_index("many", "ledger", ["amount"], postgresql_concurrently=True)'
)


def _of_ten(ended: Sequence[Ended], turn: int) -> Iterator[str]:
    said = [each["event"] for each in ended]
    if (said.count("done"), said.count("refused")) != (1, RUNNERS - 1):
        words = ", ".join(f"{each['event']} {each.get('message', '')}" for each in ended)
        yield f"round {turn + 1}: {words[:300]}"


def _all_at_once(made: Ground, prepared: Prepared) -> list[tuple[Ended, float]]:
    """The last word of each, and how long after it was told what to do it came.

    They are told together, when all of them are loaded: ten hosts have more than two cores.
    """
    with ExitStack() as stack:
        started = [_runner(made, stack) for _ in range(RUNNERS)]
        until(lambda: _at_rest(started), LOADED_WITHIN_S, "ten runners loaded", pause_s=0.0)
        with ThreadPoolExecutor(RUNNERS) as pool:
            specs = (prepared.run_spec(f"proof-ten-{n}").to_json() for n in range(RUNNERS))
            return list(pool.map(_told, started, specs))


def _runner(made: Ground, stack: ExitStack) -> Child:
    argv = own_module("shippyard.migration.runner")
    return stack.enter_context(made.yard.processes.start(argv, stdout=PIPE, pipe_stdin=True))


def _at_rest(children: Sequence[Child]) -> bool:
    """Whether they wait for us: none used the processor for a while."""
    before = [_used(each) for each in children]
    time.sleep(REST_S)
    return min(before) > 0 and before == [_used(each) for each in children]


def _used(child: Child) -> int:
    fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _told(child: Child, spec: bytes) -> tuple[Ended, float]:
    began = time.monotonic()
    child.send(spec)
    last: Ended = {}
    for line in child.lines(RUN_TIMEOUT_S):
        last = json.loads(line)
    return last, time.monotonic() - began


ROWS: tuple[Row, ...] = (
    Row(
        "watchdog",
        "a statement that makes the application wait is cancelled",
        f"≤ {CANCEL_MS:.0f} ms after the first wait; the application ≤ {LONGEST_MS:.0f} ms",
        watchdog,
        alone=True,
    ),
    Row(
        "ten-runners",
        "ten runners at once on one database, concurrent builds among them",
        f"one runs, nine are refused ≤ {REFUSED_S:g} s, no deadlock, 0 INVALID",
        ten_runners,
        alone=True,
    ),
)
