"""Owns running pg_dump and its siblings: how they are called, what they can, how they ended.

A password is in the environment or a passfile, never in an argument. What a build can is asked of
the program itself: builds of one version differ.
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from shippyard.backup.engines.engine import EngineFailed
from shippyard.host.clock import Clock
from shippyard.host.process import DEVNULL, PIPE, Child, Processes, ProcessTimedOut
from shippyard.postgres.session import one_line
from shippyard.postgres.target import Target
from shippyard.postgres.tools import Tools

REASON_CHARS = 400
PROBE_TIMEOUT_S = 10.0
CLOSED_TO_OTHERS = 0o077
END_TIMEOUT_S = 30.0
NOWHERE = "/nonexistent"
WATCHED = "-c client_connection_check_interval=1s"
STOPPED = "stopped: another part of the backup failed"

# What PostgreSQL says, and what mends it. pg_dump waits for locks under a statement timeout.
REMEDIES = {
    "permission denied for large object": (
        "as a superuser run: ALTER ROLE {user} IN DATABASE {dbname} SET lo_compat_privileges = on"
    ),
    "permission denied": "run: GRANT pg_read_all_data TO {user}",
    "row-level security": "run: ALTER ROLE {user} BYPASSRLS",
    "statement timeout": "a table stayed locked; see who holds it with `shippyard ctl health`",
    "lock timeout": "a table stayed locked; see who holds it with `shippyard ctl health`",
    "could not obtain lock": (
        "somebody waits to change a table; see who with `shippyard ctl health`"
    ),
}


@dataclass(frozen=True)
class Abilities:
    """What one pg_dump can: compress with zstd, and be told the key that shuts psql's commands."""

    zstd: bool
    restrict_key: bool


_known: dict[tuple[str, int, int], Abilities] = {}
_known_lock = threading.Lock()


def abilities_of(processes: Processes, tools: Tools) -> Abilities:
    """What this pg_dump can; asked once for each program that ever stood at its path.

    Raises:
        ProcessesStopped, ProcessTimedOut, OSError: it could not be asked.
    """
    stat = Path(tools.path("pg_dump")).stat()
    key = (tools.path("pg_dump"), stat.st_mtime_ns, stat.st_size)
    with _known_lock:
        if key not in _known:
            _known[key] = Abilities(
                _can_zstd(processes, tools), _has_restrict_key(processes, tools)
            )
        return _known[key]


def version_of(processes: Processes, tools: Tools) -> str:
    """What pg_dump calls itself."""
    done = processes.run([tools.path("pg_dump"), "--version"], timeout_s=PROBE_TIMEOUT_S)
    return done.stdout.strip()


class DumpPrograms:
    """Runs programs against one target until one of them fails, or `cancel` is called.

    Each has until `timeout_s` after the object was made.
    """

    def __init__(
        self,
        processes: Processes,
        target: Target,
        clock: Clock,
        *,
        timeout_s: float,
        setting: str,
        watched: bool,
    ) -> None:
        """`setting` is what allows more time, for the error that says that it was used up.

        `watched` asks the server to look whether a program still lives while it works for it.
        """
        self._processes = processes
        self._target = target
        self._clock = clock
        self._timeout_s = timeout_s
        self._setting = setting
        self._watched = watched
        self._deadline = clock.monotonic() + timeout_s
        self._lock = threading.Lock()
        self._cancelled = False
        self._running: set[Child] = set()

    def cancel(self) -> None:
        """End what runs and start nothing more: another part of the work has failed."""
        with self._lock:
            self._cancelled = True
            for child in self._running:
                child.interrupt()

    def run(self, argv: Sequence[str], on_tick: Callable[[], None] = lambda: None) -> None:
        """Run a program that writes its own files, which nobody else can read.

        Raises:
            EngineFailed: it failed, was ended, or ran out of time.
            ProcessesStopped, OSError: it could not be started.
        """
        with self._started(argv) as child:
            self._wait(argv, child, on_tick)

    def output(self, argv: Sequence[str]) -> Generator[bytes]:
        """What a program writes to stdout, piece by piece; ends only when the program ended well.

        Raises:
            EngineFailed: it failed, was ended, or ran out of time.
            ProcessesStopped, OSError: it could not be started.
        """
        with self._started(argv, stdout=PIPE) as child:
            yield from child.chunks(self._left_s())
            self._wait(argv, child, lambda: None)

    @contextlib.contextmanager
    def _started(self, argv: Sequence[str], stdout: int = DEVNULL) -> Iterator[Child]:
        with self._processes.start(
            argv, env=self._env(), stdout=stdout, umask=CLOSED_TO_OTHERS
        ) as child:
            with self._lock:
                if self._cancelled:
                    raise EngineFailed(STOPPED)
                self._running.add(child)
            try:
                yield child
            finally:
                with self._lock:
                    self._running.discard(child)

    def _wait(self, argv: Sequence[str], child: Child, on_tick: Callable[[], None]) -> None:
        program = Path(argv[0]).name
        try:
            returncode = child.wait(self._left_s(), on_tick)
        except ProcessTimedOut:
            returncode = -signal.SIGTERM
        if returncode and self._clock.monotonic() >= self._deadline:
            raise EngineFailed(
                f"{program} was ended after {self._timeout_s:g} s; "
                f"raise {self._setting} if it needs longer"
            )
        if problem := problem_of(program, returncode, child.stderr_tail()):
            raise EngineFailed(with_remedy(problem, self._target))

    def _left_s(self) -> float:
        return max(0.0, self._deadline - self._clock.monotonic())

    def _env(self) -> dict[str, str]:
        env = self._target.environment() | {"PGAPPNAME": "shippyard:backup"}
        return env | ({"PGOPTIONS": WATCHED} if self._watched else {})


def decode(
    processes: Processes,
    tools: Tools,
    timeout_s: float,
    *,
    folder: Path | None = None,
    pieces: Iterable[bytes] = (),
) -> str | None:
    """What pg_restore says after it read an archive to its end; None when all is well.

    The archive is a folder, or what `pieces` give.

    Raises:
        EngineFailed: it was ended, which says nothing of the archive.
        ProcessesStopped, OSError: it could not be started.
    """
    argv = [tools.path("pg_restore"), "--file=/dev/null", *([str(folder)] if folder else [])]
    with processes.start(argv, pipe_stdin=folder is None) as child:
        if folder is None:
            child.feed(pieces, timeout_s)
        try:
            returncode = child.wait(timeout_s if folder else END_TIMEOUT_S)
        except ProcessTimedOut:
            returncode = -signal.SIGTERM
        if returncode == -signal.SIGTERM:
            raise EngineFailed("pg_restore was ended before it had read all")
        return problem_of("pg_restore", returncode, child.stderr_tail())


def problem_of(program: str, returncode: int, stderr: str) -> str | None:
    """Why a program ended badly, as one line: its first error and the detail. None when it did not.

    Raises:
        EngineFailed: it was asked to end, which is nobody's fault.
    """
    # On SIGTERM pg_dump says so and exits 1; before it listens, and pg_restore, by the signal.
    if returncode == -signal.SIGTERM or (returncode and "terminated by user" in stderr):
        raise EngineFailed(f"stopped: {program} was asked to end")
    if returncode < 0:
        return f"{program} was killed by signal {-returncode}"
    return _reason(returncode, stderr) if returncode else None


def with_remedy(reason: str, target: Target) -> str:
    """A reason and the statement or command that mends it, where one is known."""
    for symptom, remedy in REMEDIES.items():
        if symptom in reason:
            return f"{reason}; {remedy.format(user=target.user, dbname=target.dbname)}"
    return reason


def _reason(returncode: int, stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    said = [line for line in lines if ": error: " in line][:1]
    said += [line for line in lines if ": detail: " in line][:1] if said else []
    last = lines[-1] if lines else f"exit status {returncode}"
    text = "; ".join(line.split(": ", 2)[2] for line in said) or last
    return one_line(Exception(text))[:REASON_CHARS]


def _can_zstd(processes: Processes, tools: Tools) -> bool:
    """A build that can't refuses the option; one that can goes on to look for a server."""
    argv = ["--format=custom", "--compress=zstd:1", "--file=/dev/null", f"--host={NOWHERE}"]
    done = processes.run([tools.path("pg_dump"), *argv, "--no-password"], timeout_s=PROBE_TIMEOUT_S)
    return NOWHERE in done.stderr


def _has_restrict_key(processes: Processes, tools: Tools) -> bool:
    done = processes.run([tools.path("pg_dump"), "--help"], timeout_s=PROBE_TIMEOUT_S)
    return "--restrict-key" in done.stdout
