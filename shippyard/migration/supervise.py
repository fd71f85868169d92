"""Owns the children's lives on the daemon's side: start, listen, deadline, stop.

Knows the words the children say, and nothing of gates or tables. A child that dies without a last
word is an interrupted one.
"""

import json
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from shippyard.host.process import PIPE, Child, Processes, ProcessTimedOut
from shippyard.host.secrets import mask
from shippyard.migration.plan import Rendered
from shippyard.migration.spec import RenderSpec, RunSpec

RENDER_TIMEOUT_S = 60.0
RENDERED_MAX_BYTES = 32 * 1024 * 1024
LAST_WORDS_S = 5.0

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
    """Runs the two children. Safe to use from any thread."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._lock = threading.Lock()
        self._running: dict[Child, str] = {}

    def render(self, spec: RenderSpec) -> Rendering:
        """Every revision's SQL, both ways.

        Raises:
            RenderFailed: the child ended without an answer, or took too long.
        """
        with tempfile.TemporaryFile() as output:
            argv = _python("shippyard.migration.renderer")
            with self._processes.start(
                argv, cwd=Path(spec.copy), stdout=output, pipe_stdin=True
            ) as child:
                child.send(spec.to_json())
                reason = _wait(child, RENDER_TIMEOUT_S)
            output.seek(0)
            answer = _parsed(output.read(RENDERED_MAX_BYTES))
        if "rendered" not in answer:
            raise RenderFailed(f"the SQL can't be rendered: {reason}")
        return Rendering(_by_revision(answer["rendered"]), _by_revision(answer["undo"]))

    def run(self, spec: RunSpec, timeout_s: float, on_event: Callable[[Event], None]) -> Ending:
        """Run one spec to its end; at the deadline the child is told to stop and rolls back.

        Must be called by a thread that stays: the kernel ends the child when its starter dies.
        """
        argv = _python("shippyard.migration.runner")
        with (
            self._processes.start(argv, cwd=Path(spec.copy), stdout=PIPE, pipe_stdin=True) as child,
            self._interruptible(child, spec.run_id),
        ):
            child.send(spec.to_json())
            last: Event = {}
            for last in _events(child, timeout_s):
                on_event(last)
            reason = _wait(child, LAST_WORDS_S)
        return _ending_of(last, reason)

    def interrupt(self, run_id: str | None = None) -> None:
        """Tell a run's runner, or every one, to cancel its statement and roll back; no waiting."""
        with self._lock:
            for child, running in self._running.items():
                if run_id in (None, running):
                    child.interrupt()

    @contextmanager
    def _interruptible(self, child: Child, run_id: str) -> Iterator[None]:
        with self._lock:
            self._running[child] = run_id
        try:
            yield
        finally:
            with self._lock:
                del self._running[child]


def _python(module: str) -> Sequence[str]:
    # -P: a module in the tree must not stand in for ours. -B: nothing is added to the copy.
    return [sys.executable, "-P", "-B", "-m", module]


def _events(child: Child, timeout_s: float) -> Iterator[Event]:
    for line in child.lines(timeout_s):
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


def _wait(child: Child, timeout_s: float) -> str:
    try:
        status = child.wait(timeout_s)
    except ProcessTimedOut as error:
        return str(error)
    lines = [line for line in child.stderr_tail().splitlines() if line.strip()]
    return mask(lines[-1].strip()) if status and lines else f"exit status {status}"


def _ending_of(last: Event, reason: str) -> Ending:
    outcome = OUTCOMES.get(str(last.get("event")))
    if outcome is None:
        return Ending("interrupted", f"the runner ended without a word ({reason})")
    if outcome == "interrupted":
        return Ending(outcome, "stopped; what was not committed is rolled back")
    return Ending(outcome, str(last.get("message", "")), bool(last.get("half_applied")))
