"""Owns what the programs that run user code say: their events, and how they ended.

Knows their words, and nothing of gates or tables, nor of how they are started: that is a
`Launcher`'s. A program that dies without a last word is an interrupted one.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from shippyard.host.process import Processes
from shippyard.migration.launch import (
    ChildLauncher,
    Launched,
    Launcher,
    LaunchFailed,
    TooMuchSaid,
    Work,
)
from shippyard.migration.plan import Rendered
from shippyard.migration.spec import RenderSpec, RunSpec

RENDER_TIMEOUT_S = 60.0

Outcome = Literal["applied", "failed", "refused", "interrupted"]
Event = Mapping[str, Any]

OUTCOMES: dict[str, Outcome] = {
    "done": "applied",
    "failed": "failed",
    "refused": "refused",
    "interrupted": "interrupted",
}


class RenderFailed(Exception):
    """The child that renders SQL gave no answer."""


@dataclass(frozen=True)
class Ending:
    """How a child ended. `message` is empty when all was applied."""

    outcome: Outcome
    message: str = ""
    half_applied: bool = False


@dataclass(frozen=True)
class Rendering:
    """The SQL of each revision on its way up, and on its way down."""

    up: Mapping[str, Rendered]
    down: Mapping[str, Rendered]


class Supervisor:
    """Has the two programs run. Safe to use from any thread."""

    def __init__(self, processes: Processes, launcher: Launcher | None = None) -> None:
        """Without a launcher they are plain children."""
        self._launcher = launcher or ChildLauncher(processes)
        self._lock = threading.Lock()
        self._running: dict[Launched, str] = {}

    def render(self, spec: RenderSpec) -> Rendering:
        """Every revision's SQL, both ways.

        Raises:
            RenderFailed: the program could not be started, gave no answer, or took too long.
        """
        answer: dict[str, Any] = {}
        work = Work("render", Path(spec.copy), spec.to_json())
        try:
            with self._launcher.launch(work) as program:
                for line in program.lines(RENDER_TIMEOUT_S):
                    answer = answer or _parsed(line)
                reason = program.reason()
        except (LaunchFailed, TooMuchSaid) as error:
            reason = str(error)
        if "rendered" not in answer:
            raise RenderFailed(f"the SQL can't be rendered: {reason}")
        return Rendering(_by_revision(answer["rendered"]), _by_revision(answer["undo"]))

    def run(self, spec: RunSpec, timeout_s: float, on_event: Callable[[Event], None]) -> Ending:
        """Run one spec to its end; at the deadline the program is told to stop and rolls back.

        Must be called by a thread that stays: the kernel ends a child when its starter dies.
        """
        last: Event = {}
        work = Work("run", Path(spec.copy), spec.to_json())
        try:
            with self._launcher.launch(work) as program, self._interruptible(program, spec.run_id):
                for last in _events(program.lines(timeout_s)):
                    on_event(last)
                reason = program.reason()
        except LaunchFailed as error:
            return Ending("failed", str(error))
        except TooMuchSaid as error:
            return Ending("interrupted", str(error))
        return _ending_of(last, reason)

    def interrupt(self, run_id: str | None = None) -> None:
        """Tell a run's runner, or every one, to cancel its statement and roll back; no waiting."""
        with self._lock:
            for program, running in self._running.items():
                if run_id in (None, running):
                    program.interrupt()

    @contextmanager
    def _interruptible(self, program: Launched, run_id: str) -> Iterator[None]:
        with self._lock:
            self._running[program] = run_id
        try:
            yield
        finally:
            with self._lock:
                del self._running[program]


def _events(lines: Iterator[bytes]) -> Iterator[Event]:
    for line in lines:
        event = _parsed(line)
        if event:
            yield event


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        document = json.loads(line)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _by_revision(said: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Rendered]:
    return {revision: Rendered(**rendered) for revision, rendered in said.items()}


def _ending_of(last: Event, reason: str) -> Ending:
    outcome = OUTCOMES.get(str(last.get("event")))
    if outcome is None:
        return Ending("interrupted", f"the runner ended without a word ({reason})")
    if outcome == "interrupted":
        return Ending(outcome, "stopped; what was not committed is rolled back")
    return Ending(outcome, str(last.get("message", "")), bool(last.get("half_applied")))
