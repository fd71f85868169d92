"""Owns processes that proofs start: the daemon, and commands as a person types them.

Each is started without what make and the proofs themselves are told, and ended by its id.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proofs.table import ROOT
from proofs.waiting import Late

STOP_TIMEOUT_S = 15.0
COMMAND_TIMEOUT_S = 300.0
FAILED_SHOWN = 5


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def document(self) -> dict[str, Any]:
        """What it said in JSON."""
        said: dict[str, Any] = json.loads(self.stdout)
        return said


class Program:
    """One process of ours in a group of its own, its output in files."""

    def __init__(
        self, argv: Sequence[str], folder: Path, name: str, env: Mapping[str, str] | None = None
    ) -> None:
        self.out, self.err = folder / f"{name}.out", folder / f"{name}.err"
        with self.out.open("ab") as out, self.err.open("ab") as err:
            self._popen = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**own_environment(), **(env or {})},
                cwd=ROOT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self._popen.poll() is None

    def send(self, number: int) -> None:
        """A signal to the process alone, as systemd or an operator sends it."""
        self._popen.send_signal(number)

    def wait(self, timeout_s: float) -> int:
        """Its exit status; `Late` when it does not end in time."""
        try:
            return self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise Late(f"pid {self.pid} did not end: not within {timeout_s:g} s") from None

    def said(self) -> str:
        """All it wrote so far."""
        return self.out.read_text(errors="replace") + self.err.read_text(errors="replace")

    def children(self) -> list[int]:
        """Its direct children now."""
        with contextlib.suppress(OSError):
            tasks = Path(f"/proc/{self.pid}/task").iterdir()
            return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]
        return []

    def end(self) -> None:
        """End the whole group; safe to call twice."""
        if self.running:
            self.send(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(STOP_TIMEOUT_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()


def shippyard(*arguments: str, prefix: Sequence[str] = ()) -> Ran:
    """Run the program to its end."""
    done = subprocess.run(
        [*prefix, sys.executable, "-m", "shippyard", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=own_environment(),
        timeout=COMMAND_TIMEOUT_S,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def own_environment() -> dict[str, str]:
    """Ours without what make and the proofs are told, and without settings of another daemon."""
    ours = ("MAKE", "MFLAGS", "SHIPPYARD_", "PG", "NOTIFY_", "WATCHDOG_")
    told = ("ROWS", "QUICK", "WRITE", "STRICT", "ARGS", "CREDENTIALS_DIRECTORY")
    return {k: v for k, v in os.environ.items() if not k.startswith(ours) and k not in told}


def last_line(text: str) -> str:
    """The last line that says something; what make adds says nothing."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("make")]
    return lines[-1].strip() if lines else "nothing"


def why_failed(text: str) -> str:
    """The tests that failed, or else the last line."""
    failed = [
        line.strip() for line in text.splitlines() if line.startswith(("FAILED t", "ERROR t"))
    ]
    return "; ".join(failed[:FAILED_SHOWN]) or last_line(text)
