"""Owns what another engine's repository is to us: where files are not ours, but proof still is.

Each engine is one file beside this one. What it says of itself is parsed, never its exit status
alone; what it does not look for, we look for ourselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Protocol

from shippyard.backup.engines.engine import EngineFailed
from shippyard.host.process import Processes, ProcessTimedOut
from shippyard.postgres.session import one_line

ANSWER_MAX_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Held:
    """One backup that a repository holds. LSNs and segments as PostgreSQL writes them."""

    label: str
    parent: str | None
    wal_first: str
    wal_last: str
    lsn_start: str | None
    lsn_stop: str | None
    stopped_at: datetime
    size_bytes: int
    sound: bool
    """False when the engine itself says that it is not."""


class Repository(Protocol):
    """Where another engine keeps base backups and WAL of one server."""

    @property
    def name(self) -> str:
        """The engine's own name."""
        ...

    def version(self) -> str:
        """The engine's version.

        Raises:
            EngineFailed: it is not here, or too old to be relied on.
        """
        ...

    def held(self) -> list[Held]:
        """The backups there are, oldest first.

        Raises:
            EngineFailed: the repository can't be read.
        """
        ...

    def back_up(self, *, incremental: bool) -> None:
        """Take one backup; returns when the engine says that it is done."""
        ...

    def problems(self, label: str) -> list[str]:
        """What the engine finds wrong with a backup, one line each."""
        ...

    def segments(self) -> Sequence[str]:
        """Names of the WAL segments and history files it holds, sorted."""
        ...

    def lay_out(self, label: str, data_dir: Path, tablespaces: Path) -> None:
        """Restore a backup's files into an empty folder, every tablespace under `tablespaces`."""
        ...

    def fetch(self, name: str, into: Path, data_dir: Path) -> None:
        """Write a WAL file that `segments` names to `into`, for the cluster laid out in `data_dir`.

        A history can be fetched before anything is laid out.

        Raises:
            EngineFailed: it can't be had whole.
        """
        ...


def answer_of(
    processes: Processes,
    argv: Sequence[str],
    *,
    timeout_s: float,
    scratch: IO[bytes],
) -> str:
    """All that a program writes to stdout; `scratch` is an empty temporary file.

    Raises:
        EngineFailed: it failed or ran past its time; its own words, in one line.
    """
    program = Path(argv[0]).name
    try:
        with processes.start(argv, stdout=scratch) as child:
            returncode = child.wait(timeout_s)
            said = child.stderr_tail()
    except ProcessTimedOut:
        raise EngineFailed(f"{program} was ended after {timeout_s:g} s") from None
    except OSError as error:
        raise EngineFailed(f"{program} can't be run: {error.strerror or error}") from None
    scratch.seek(0)
    text = scratch.read(ANSWER_MAX_BYTES).decode(errors="replace")
    if returncode:
        raise EngineFailed(f"{program}: {_complaint(said + text) or f'exit status {returncode}'}")
    return text


def _complaint(said: str) -> str:
    """The first line that reports an error, without the program's own decoration."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if "ERROR" in line]
    line = (errors or lines[-1:] or [""])[0]
    return one_line(Exception(line.split("ERROR: ", 1)[-1])) if line else ""
