"""Owns child processes: each has a process group of its own, a deadline, and dies with its owner.

`Processes` remembers what runs, so that a stop can end all of it. Knows nothing of what the
programs do; arguments are never logged from here, and secrets go in by environment or stdin.
"""

import contextlib
import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

PIPE = subprocess.PIPE
DEVNULL = subprocess.DEVNULL
TICK_S = 0.2
GRACE_S = 3.0
OUTPUT_TAIL_BYTES = 64 * 1024
LINE_BYTES = 256 * 1024
CHUNK_BYTES = 1024 * 1024


class ProcessTimedOut(Exception):
    """A program ran past its deadline and its group was ended."""


class ProcessesStopped(Exception):
    """No new program may start: the owner is stopping."""


@dataclass(frozen=True)
class Completed:
    """How a program ended. `stdout` and `stderr` are the last 64 KiB of each."""

    returncode: int
    stdout: str
    stderr: str
    elapsed_s: float

    def reason(self) -> str:
        """The last line the program wrote to stderr, or its exit status."""
        lines = [line for line in self.stderr.splitlines() if line.strip()]
        return lines[-1].strip() if lines else f"exit status {self.returncode}"


class Child:
    """One running program and its group."""

    def __init__(self, popen: "subprocess.Popen[bytes]", stderr: IO[bytes]) -> None:
        self._popen = popen
        self._stderr = stderr
        self._started = time.monotonic()

    @property
    def pid(self) -> int:
        """Process id, which is also its group's id."""
        return self._popen.pid

    @property
    def running(self) -> bool:
        """True while the program has not ended."""
        return self._popen.poll() is None

    def wait(self, timeout_s: float, on_tick: Callable[[], None] | None = None) -> int:
        """Exit status, after at most `timeout_s`; `on_tick` is called about five times a second.

        Raises:
            ProcessTimedOut: the deadline passed; the group has been ended.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                return self._popen.wait(min(TICK_S, max(0.0, deadline - time.monotonic())))
            except subprocess.TimeoutExpired:
                if time.monotonic() >= deadline:
                    self.end()
                    raise ProcessTimedOut(f"ended after {timeout_s:g} s") from None
                if on_tick:
                    on_tick()

    def lines(self, timeout_s: float) -> Iterator[bytes]:
        """Lines of stdout until it closes; at the deadline the group is ended."""
        assert self._popen.stdout is not None, "started without pipe_stdout"
        with self._ended_after(timeout_s):
            while line := self._popen.stdout.readline(LINE_BYTES):
                yield line

    def chunks(self, timeout_s: float) -> Iterator[bytes]:
        """What stdout gives, piece by piece, until it closes; at the deadline the group is ended.

        Only the exit status says whether that was all.
        """
        assert self._popen.stdout is not None, "started without a pipe for stdout"
        with self._ended_after(timeout_s):
            # As large as the pieces: fewer turns between us and the program.
            with contextlib.suppress(OSError):
                fcntl.fcntl(self._popen.stdout, fcntl.F_SETPIPE_SZ, CHUNK_BYTES)
            while data := os.read(self._popen.stdout.fileno(), CHUNK_BYTES):
                yield data

    def feed(self, pieces: Iterable[bytes], timeout_s: float) -> None:
        """Write `pieces` to stdin and close it; a program that reads no further ends that early."""
        assert self._popen.stdin is not None, "started without pipe_stdin"
        with self._ended_after(timeout_s), contextlib.suppress(BrokenPipeError):
            for piece in pieces:
                self._popen.stdin.write(piece)
            self._popen.stdin.close()

    def send(self, data: bytes) -> None:
        """Write all of stdin and close it."""
        assert self._popen.stdin is not None, "started without pipe_stdin"
        with contextlib.suppress(BrokenPipeError):
            self._popen.stdin.write(data)
            self._popen.stdin.close()

    def interrupt(self) -> None:
        """Ask the whole group to stop (SIGTERM), without waiting."""
        self._signal(signal.SIGTERM)

    def end(self, grace_s: float = GRACE_S) -> None:
        """SIGTERM to the group, SIGKILL after `grace_s`; safe to call twice."""
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(grace_s)
        self._signal(signal.SIGKILL)
        # A program stuck in the kernel, on a dead disk for example, outlives even that.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(GRACE_S)

    def stderr_tail(self) -> str:
        """The last 64 KiB of what the program wrote to stderr."""
        return _tail(self._stderr)

    def close(self) -> None:
        """End the group if any of it still runs, and free the pipes."""
        if self._popen.poll() is None:
            self.end()
        # Of a leader that was killed others may live on, and hold what it held: pg_basebackup
        # leaves one that keeps both of its connections.
        self._signal(signal.SIGKILL)
        for stream in (self._popen.stdin, self._popen.stdout, self._stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    @contextlib.contextmanager
    def _ended_after(self, timeout_s: float) -> Iterator[None]:
        timer = threading.Timer(timeout_s, self.end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _signal(self, number: int) -> None:
        # The leader may be gone while others of its group live on: the group is what is signalled.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, number)


def own_module(module: str) -> list[str]:
    """Arguments that run one of our modules as a program.

    -P: a module where it runs must not stand in for ours. -B: it leaves no compiled files there.
    """
    return [sys.executable, "-P", "-B", "-m", module]


class Processes:
    """Starts programs and remembers those that run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._live: set[Child] = set()
        self._stopping = False

    @property
    def stopping(self) -> bool:
        """True once everything is being ended: what fails now was interrupted."""
        return self._stopping

    @contextlib.contextmanager
    def start(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: str | None = None,
        stdout: IO[bytes] | int = subprocess.DEVNULL,
        stderr: IO[bytes] | None = None,
        pipe_stdin: bool = False,
        umask: int = -1,
    ) -> Iterator[Child]:
        """A program in a new group, ended when the block is left.

        `env` is added to a small clean environment. With `user` the program runs as that user
        (needs root); otherwise the kernel kills it when the thread that started it dies. `umask`
        is ours unless given.

        Raises:
            ProcessesStopped: `end_all` was called before.
            OSError: the program can't be started.
        """
        with stderr or tempfile.TemporaryFile() as said:
            child = self._spawn(
                argv,
                env=env,
                cwd=cwd,
                user=user,
                stdout=stdout,
                pipe_stdin=pipe_stdin,
                stderr=said,
                umask=umask,
            )
            try:
                yield child
            finally:
                with self._lock:
                    self._live.discard(child)
                child.close()

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: str | None = None,
        on_tick: Callable[[], None] | None = None,
        umask: int = -1,
    ) -> Completed:
        """Run a program to its end and give its status and the tail of its output.

        Raises:
            ProcessTimedOut: it ran past `timeout_s`.
            ProcessesStopped, OSError: it could not be started.
        """
        started = time.monotonic()
        with (
            tempfile.TemporaryFile() as stdout,
            self.start(argv, env=env, cwd=cwd, user=user, stdout=stdout, umask=umask) as child,
        ):
            returncode = child.wait(timeout_s, on_tick)
            elapsed_s = time.monotonic() - started
            return Completed(returncode, _tail(stdout), child.stderr_tail(), elapsed_s)

    def end_all(self, grace_s: float = GRACE_S) -> None:
        """End every running group and refuse new ones; safe to call twice."""
        with self._lock:
            self._stopping = True
            live = list(self._live)
        for child in live:
            child.interrupt()
        for child in live:
            child.end(grace_s)

    def _spawn(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None,
        cwd: Path | None,
        user: str | None,
        stdout: IO[bytes] | int,
        pipe_stdin: bool,
        stderr: IO[bytes],
        umask: int,
    ) -> Child:
        with self._lock:
            if self._stopping:
                raise ProcessesStopped("stopping: no new program is started")
            popen = subprocess.Popen(
                list(argv) if user else [*_tether(), *argv],
                env={**_clean_environment(), **(env or {})},
                cwd=cwd,
                user=user,
                group=_group_of(user) if user else None,
                extra_groups=[] if user else None,
                stdin=subprocess.PIPE if pipe_stdin else subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
                umask=umask,
            )
            child = Child(popen, stderr)
            self._live.add(child)
            return child


def _tether() -> list[str]:
    """A prefix that makes the kernel kill the program when we die, where util-linux offers it."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []


def _group_of(user: str) -> int:
    return pwd.getpwnam(user).pw_gid


def _clean_environment() -> dict[str, str]:
    kept = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"LC_ALL": "C.UTF-8"}


def _tail(file: IO[bytes]) -> str:
    file.flush()
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), OUTPUT_TAIL_BYTES, max(0, size - OUTPUT_TAIL_BYTES)).decode(
        errors="replace"
    )
