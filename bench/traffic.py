"""Owns the application's traffic: a process of its own that keeps to a schedule, whatever happens.

Users come at random moments, so many a second, and do not wait for each other: who finds every
connection busy waits in line, and that time counts. Which code is deployed is told by a socket, one
JSON list per line; the answer comes when the last transaction of what was taken away has ended and
nobody stands in line any more.
Run by `bench.beside`: `python -m bench.traffic SOCKET FILE`.
"""

import json
import queue
import random
import socket
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, LiteralString

import psycopg

from bench.application import SAYS_WHO, SIGNING_IN, Code, Doing, deployed
from bench.people import People, Person
from bench.samples import Statement, write

CONNECT_TIMEOUT_S = 10
STATEMENT_TIMEOUT_S = 300  # so that a wait ends, and is known, before its statement does
DRAINED_WITHIN_S = 300.0
POLL_S = 0.02
LINE_MAX = 50_000
NOBODY = "nobody"
NEVER_SERVED = "never served"


class Deployment:
    """Which codes are out there, and how many transactions of each are under way."""

    def __init__(self) -> None:
        self._codes: tuple[Code, ...] = ()
        self._busy: dict[str, int] = {}
        self._changed = threading.Condition()

    def change(self, codes: tuple[Code, ...]) -> bool:
        """Deploy these, and wait for the last transaction of those taken away; False when late."""
        kept = {code.name for code in codes}
        with self._changed:
            self._codes = codes
            return self._changed.wait_for(lambda: self._only(kept), DRAINED_WITHIN_S)

    def enter(self, luck: random.Random) -> Code | None:
        """The code that serves the next user; None while there is none."""
        with self._changed:
            if not self._codes:
                return None
            code = luck.choice(self._codes)
            self._busy[code.name] = self._busy.get(code.name, 0) + 1
            return code

    def leave(self, code: Code) -> None:
        """The user was served."""
        with self._changed:
            self._busy[code.name] -= 1
            self._changed.notify_all()

    def _only(self, kept: set[str]) -> bool:
        return not any(count for name, count in self._busy.items() if name not in kept)


@dataclass
class Worker:
    """One connection of the application's pool, and what it did."""

    conninfo: dict[str, Any]
    people: People
    deployment: Deployment
    luck: random.Random
    line: "queue.Queue[float | None]"
    done: list[Statement] = field(default_factory=list)

    def run(self) -> None:
        """Serve users until None stands in line."""
        while (due := self.line.get()) is not None:
            code = self.deployment.enter(self.luck)
            if code is not None:
                try:
                    self._serve(code, code.pick(self.luck), due)
                finally:
                    self.deployment.leave(code)

    def connect(self) -> None:
        """Open the connection anew."""
        options = f"-c statement_timeout={STATEMENT_TIMEOUT_S}s"
        self._connection = psycopg.connect(
            **self.conninfo,
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name="shippyar-app",
            options=options,
        )

    def _serve(self, code: Code, doing: Doing, due: float) -> None:
        with self.people.one(doing.person, self.luck) as person:
            if self._do(code, doing, due, person):
                person.confirm()
        if self._connection.broken:
            self.connect()

    def _do(self, code: Code, doing: Doing, due: float, person: Person) -> bool:
        """Every step in one transaction; the last one's time includes the commit."""
        record = partial(self._record, code, doing)
        began, number, error = (due, time.time()), 0, None
        try:
            with self._transaction(code, doing, person):
                for number, step in enumerate(doing.steps):
                    if number:
                        record(number - 1, began, None)
                        time.sleep(self.luck.uniform(*doing.pause_s))
                        began = (time.time(), time.time())
                    self._step(step, person)
        except _NotFound:
            error = NOBODY
        except psycopg.Error as refused:
            error = refused.sqlstate or "connection lost"
        record(number, began, error)
        return error is None

    @contextmanager
    def _transaction(self, code: Code, doing: Doing, person: Person) -> Iterator[None]:
        """One that says for whom it is, where the code does so; a single statement is its own."""
        if not code.says_who and len(doing.steps) == 1:
            yield
            return
        with self._connection.transaction():
            if code.says_who and doing.name != SIGNING_IN:
                self._connection.execute(SAYS_WHO, person.values())
            yield

    def _step(self, step: LiteralString, person: Person) -> None:
        cursor = self._connection.execute(step, person.values())
        row = cursor.fetchone() if cursor.description else None
        found = str(row[0]) == person.id if row else cursor.rowcount > 0
        if not found:
            raise _NotFound

    def _record(
        self, code: Code, doing: Doing, number: int, began: tuple[float, float], error: str | None
    ) -> None:
        name = f"{doing.name}, step {number + 1}" if len(doing.steps) > 1 else doing.name
        pid = 0 if self._connection.broken else self._connection.info.backend_pid
        self.done.append(Statement(code.name, name, *began, time.time(), pid, error))


class _NotFound(Exception):
    """A person who is there was not found."""


@dataclass(frozen=True)
class Asked:
    """How much traffic, for whom, and where."""

    conninfo: dict[str, Any]
    people: list[list[str]]
    rate: float
    connections: int
    seed: int


def main() -> int:
    """Serve until the other end of the socket is closed, then write what was done."""
    told = socket.socket(socket.AF_UNIX)
    told.connect(sys.argv[1])
    with told, told.makefile("r") as lines, told.makefile("w") as answers:
        asked = Asked(**json.loads(lines.readline()))
        people = People(asked.people)
        deployment, line = Deployment(), queue.Queue[float | None](LINE_MAX)
        workers = [
            Worker(asked.conninfo, people, deployment, random.Random(asked.seed + n), line)
            for n in range(asked.connections)
        ]
        for worker in workers:
            worker.connect()
        threads = _started([worker.run for worker in workers])
        stop = threading.Event()
        pacer = _started([lambda: _pace(line, asked, stop)])
        _obey(lines, answers, deployment, line)
        stop.set()
        served = _ended(pacer, threads, line)
    done = [statement for worker in workers for statement in worker.done]
    write([*done, *_unserved(line)], Path(sys.argv[2]))
    Path(sys.argv[2]).with_suffix(".people").write_text(json.dumps(people.written()))
    return 0 if served else 1


def _obey(
    lines: Iterable[str],
    answers: Any,
    deployment: Deployment,
    line: "queue.Queue[float | None]",
) -> None:
    answers.write("ready\n")
    answers.flush()
    for order in lines:
        obeyed = deployment.change(deployed(json.loads(order))) and _caught_up(line)
        answers.write(f"{'done' if obeyed else 'late'}\n")
        answers.flush()


def _caught_up(line: "queue.Queue[float | None]") -> bool:
    """Wait until nobody stands in line; False when that takes too long."""
    deadline = time.monotonic() + DRAINED_WITHIN_S
    while not line.empty():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def _pace(line: "queue.Queue[float | None]", asked: Asked, stop: threading.Event) -> None:
    """Put users in line at the moments at which they come."""
    luck, due = random.Random(asked.seed), time.time()
    while not stop.wait(max(0.0, due - time.time())):
        line.put(due)
        due += luck.expovariate(asked.rate)


def _started(works: Sequence[Any]) -> list[threading.Thread]:
    threads = [threading.Thread(target=work, daemon=True) for work in works]
    for thread in threads:
        thread.start()
    return threads


def _ended(
    pacer: Sequence[threading.Thread],
    threads: Sequence[threading.Thread],
    line: "queue.Queue[float | None]",
) -> bool:
    """True when everyone who came was served in time."""
    for thread in pacer:
        thread.join(DRAINED_WITHIN_S)
    for _ in threads:
        line.put(None)
    deadline = time.monotonic() + DRAINED_WITHIN_S
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)


def _unserved(line: "queue.Queue[float | None]") -> Iterable[Statement]:
    now = time.time()
    while not line.empty():
        due = line.get_nowait()
        if due is not None:
            yield Statement("-", NEVER_SERVED, due, now, now, 0, NEVER_SERVED)


if __name__ == "__main__":
    sys.exit(main())
