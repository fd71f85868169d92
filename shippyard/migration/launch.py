"""Owns how one of the two programs that run user code is begun and heard: Protocols, a plain child.

A plain child has the daemon's own rights; `launch_socket` has the other way. Knows no words of what
the programs say, only lines.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from shippyard.host.clock import SystemClock
from shippyard.host.process import PIPE, Child, Processes, ProcessTimedOut, own_module
from shippyard.host.secrets import mask

LINE_MAX_BYTES = 32 * 1024 * 1024
OUTPUT_MAX_BYTES = 256 * 1024 * 1024
SEND_TIMEOUT_S = 60.0
LAST_WORDS_S = 5.0

MODULES: Mapping[str, str] = {
    "run": "shippyard.migration.runner",
    "render": "shippyard.migration.renderer",
}


class LaunchFailed(Exception):
    """No program was started, nothing was changed; one line that says what to do."""


class TooMuchSaid(Exception):
    """A program said more than is listened to."""


@dataclass(frozen=True)
class Work:
    """Which program is to run (by its name in `MODULES`), what it is told, and its files.

    `spec` is JSON with `copy` in it; it may hold a password.
    """

    program: str
    copy: Path
    spec: bytes = field(repr=False)


class Launched(Protocol):
    """A program that runs."""

    def lines(self, timeout_s: float) -> Iterator[bytes]:
        """What it says until it ends; at the deadline it is made to stop.

        Raises:
            TooMuchSaid: it went past a bound.
        """
        ...

    def interrupt(self) -> None:
        """Tell it to cancel its statement and roll back, without waiting. From any thread."""
        ...

    def reason(self) -> str:
        """How it ended, in words, once it has said all."""
        ...


class Launcher(Protocol):
    """A way to have programs run."""

    def launch(self, work: Work) -> AbstractContextManager[Launched]:
        """Begin it; it is ended when the block is left.

        Raises:
            LaunchFailed: nothing was begun.
        """
        ...


class LaunchedChild:
    """A child of this process."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._late = ""

    def lines(self, timeout_s: float) -> Iterator[bytes]:
        """What it says until its stdout closes; at the deadline its group is ended."""
        clock = SystemClock()
        ends = clock.monotonic() + timeout_s
        yield from whole_lines(self._child.chunks(timeout_s))
        if clock.monotonic() >= ends:
            self._late = f"ended after {timeout_s:g} s"

    def interrupt(self) -> None:
        """SIGTERM to its group."""
        self._child.interrupt()

    def reason(self) -> str:
        """The last line of its stderr when it failed, else its exit status."""
        try:
            status = self._child.wait(LAST_WORDS_S)
        except ProcessTimedOut as error:
            return self._late or str(error)
        lines = [line for line in self.said_aside().splitlines() if line.strip()]
        return self._late or (lines[-1].strip() if status and lines else f"exit status {status}")

    def said_aside(self) -> str:
        """The end of its stderr, secrets masked."""
        return mask(self._child.stderr_tail())


class ChildLauncher:
    """Programs as children of this process. Launch from a thread that stays to their end."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes

    @contextmanager
    def launch(self, work: Work) -> Iterator[LaunchedChild]:
        """Begin it, its working folder the copy.

        Raises:
            LaunchFailed: the copy or the program is not there.
        """
        argv = own_module(MODULES[work.program])
        with ExitStack() as undo:
            try:
                started = self._processes.start(argv, cwd=work.copy, stdout=PIPE, pipe_stdin=True)
                child = undo.enter_context(started)
            except OSError as error:
                raise LaunchFailed(f"the program can't be started: {error}") from None
            child.feed([work.spec], SEND_TIMEOUT_S)
            yield LaunchedChild(child)


def whole_lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Lines of what comes piece by piece; what has no newline at the end is a line, too.

    Raises:
        TooMuchSaid: a line, or all of it, is longer than anything we wait for.
    """
    rest, total_bytes = bytearray(), 0
    for piece in pieces:
        total_bytes += len(piece)
        rest += piece
        if b"\n" in piece:
            *lines, rest = rest.split(b"\n")
            yield from map(bytes, lines)
        if total_bytes > OUTPUT_MAX_BYTES or len(rest) > LINE_MAX_BYTES:
            raise TooMuchSaid("it said more than is listened to; look for what it prints in a loop")
    if rest:
        yield bytes(rest)
