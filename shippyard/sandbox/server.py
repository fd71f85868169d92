"""Owns one confined server process: started in its jail, awaited, stopped. Knows no domain."""

import contextlib
import os
import re
import signal
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from shippyard.host.clock import Clock
from shippyard.host.process import Child, Processes, ProcessTimedOut
from shippyard.sandbox.model import SandboxFailed

POLL_S = 0.05
FAST_STOP_S = 20.0
IMMEDIATE_STOP_S = 5.0
LOG_TAIL_BYTES = 16 * 1024
READY = "ready"
_STATUS_LINE = 7
_REDO_DONE = b"redo done at"
_LAST_TRANSACTION = re.compile(r"last completed transaction was at log time (\S+ \S+)\+00")
_GRAVE = ("FATAL:", "PANIC:", "ERROR:")
_MORE = ("DETAIL:", "HINT:")


class Server:
    """A server that is up between `start` and `stop`. Its thread of start must outlive it."""

    def __init__(self, data_dir: Path, log_file: Path, processes: Processes, clock: Clock) -> None:
        self._data_dir = data_dir
        self._log_file = log_file
        self._processes = processes
        self._clock = clock
        self._lock = threading.RLock()
        self._running = contextlib.ExitStack()
        self._child: Child | None = None

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        child = self._child
        return child.pid if child and child.running else None

    def start(self, argv: Sequence[str]) -> int:
        """Start the program and give its pid, without waiting for it.

        Raises:
            ProcessesStopped, OSError: it could not be started.
        """
        said = self._log_file.open("w+b")
        self._child = self._running.enter_context(self._processes.start(argv, stderr=said))
        return self._child.pid

    def wait_ready(self, timeout_s: float, on_tick: Callable[[], None]) -> float | None:
        """Wait until it reads and writes; `on_tick` may raise to give up.

        Gives the moment at which WAL had been replayed, None if none was.

        Raises:
            SandboxFailed: it ended, or was not ready in time.
        """
        pause, deadline = threading.Event(), self._clock.monotonic() + timeout_s
        replayed: float | None = None
        while self._status() != READY:
            if replayed is None and self._has_replayed():
                replayed = self._clock.monotonic()
            if self.pid is None:
                raise SandboxFailed(f"PostgreSQL did not start in the sandbox: {self.complaint()}")
            if self._clock.monotonic() > deadline:
                raise SandboxFailed(
                    f"PostgreSQL was not ready in the sandbox after {timeout_s:g} s; "
                    "raise backup.sandbox.start_timeout_s if replay needs longer"
                )
            on_tick()
            pause.wait(POLL_S)
        return replayed

    def last_transaction_at(self) -> datetime | None:
        """When the last transaction that was replayed had been committed; None if none was."""
        with contextlib.suppress(OSError, ValueError), self._log_file.open("rb") as file:
            if found := _LAST_TRANSACTION.search(_tail(file)):
                return datetime.fromisoformat(found.group(1)).replace(tzinfo=UTC)
        return None

    def kill(self) -> None:
        """End it at once, from any thread."""
        self._send(signal.SIGQUIT)

    def stop(self, *, keep_files: bool) -> None:
        """Stop it; with `keep_files` so that they can be started again. Safe twice."""
        with self._lock:
            if keep_files:
                self._ended_by(signal.SIGINT, FAST_STOP_S)
            self._ended_by(signal.SIGQUIT, IMMEDIATE_STOP_S)
            self._running.close()

    def complaint(self) -> str:
        """What it said last that was grave, as one line."""
        with contextlib.suppress(OSError), self._log_file.open("rb") as file:
            lines = _tail(file).splitlines()
            grave = [n for n, line in enumerate(lines) if line.lstrip().startswith(_GRAVE)]
            first = next(
                (n for n in reversed(grave) if not lines[n].startswith("ERROR")), (grave or [-1])[0]
            )
            told = lines[first:][:1] + [
                line for line in lines[first + 1 : first + 3] if line.startswith(_MORE)
            ]
            return " ".join(" ".join(told).split()) or "it said nothing"
        return "it said nothing"

    def _ended_by(self, number: int, patience_s: float) -> None:
        if self._child and self.pid is not None:
            self._send(number)
            with contextlib.suppress(ProcessTimedOut):
                self._child.wait(patience_s)

    def _send(self, number: int) -> None:
        if pid := self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _has_replayed(self) -> bool:
        with contextlib.suppress(OSError), self._log_file.open("rb") as file:
            return _REDO_DONE in _tail(file).encode()
        return False

    def _status(self) -> str:
        """The word by which the server says how far it is, as pg_ctl reads it."""
        with contextlib.suppress(OSError, IndexError):
            lines = (self._data_dir / "postmaster.pid").read_text().splitlines()
            return lines[_STATUS_LINE].strip() if lines[0] == str(self.pid) else ""
        return ""


def _tail(file: IO[bytes]) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - LOG_TAIL_BYTES))
    return file.read().decode(errors="replace")
