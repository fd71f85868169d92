"""Owns driving pg_restore and psql: an archive's contents, its restore, and how far that is.

Knows one archive and one target. What may be restored where, and what becomes of roles, is decided
above. A program that is ended, or whose owner is, takes its sessions on the server with it.
"""

import contextlib
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from shippyard.backup.compression import CHUNK_BYTES, decompressed
from shippyard.backup.restore.contents import Item, parse_contents
from shippyard.host.clock import Clock
from shippyard.host.process import Processes, ProcessTimedOut
from shippyard.postgres.session import QueryFailed, Unreachable, one_line, session
from shippyard.postgres.target import Target
from shippyard.postgres.tools import Tools

Progress = Callable[[Mapping[str, Any]], None]
"""Told the phase, and in `message` how far it is, at most about five times a second."""

APPLICATION = "shippyard:restore"
LIST_TIMEOUT_S = 600.0
SPARE_BYTES = 256 * 1024 * 1024
"""Left free on the scratch disk, which others use, too."""
REASON_CHARS = 400
ERRORS_KEPT = 20
ETA_FROM_S, ETA_FROM_SHARE = 2.0, 0.05
"""Less than that says nothing of how long the rest takes."""
SIGTERM_STATUS = -signal.SIGTERM

# What pg_restore of a newer major says to an older server, which is no error of the restore's.
UNKNOWN_THERE = re.compile(r'unrecognized configuration parameter "[a-z_]+"')

_DONE = re.compile(rb"(?:finished|processing) item (\d+) ")

REMEDIES = {
    "must be superuser": "restore as a superuser (--user postgres)",
    "must be able to SET ROLE": "restore as a superuser (--user postgres)",
    "must be member of role": "restore as a superuser (--user postgres)",
    "permission denied": "restore as a superuser (--user postgres)",
    "does not exist": "is something that it needs missing on this server?",
    "No space left": "free some disk on the server, then begin again",
}


class RestoreFailed(Exception):
    """Nothing, or not all, was restored; the message is one line and says what is left where."""


class RestoreInterrupted(RestoreFailed):
    """Somebody asked for the restore to end; what it had made is said."""


@dataclass(frozen=True)
class Hands:
    """What a restore works with: programs, and the database they change."""

    processes: Processes
    tools: Tools
    into: Target
    clock: Clock


@dataclass(frozen=True)
class Load:
    """One run of pg_restore: the archive, what of it, and how long it may take."""

    file: Path
    items: tuple[Item, ...]
    weights: Mapping[int, int]
    jobs: int
    timeout_s: float
    ids: frozenset[int] | None = None
    """What is taken of the archive; None for all."""

    @property
    def wanted(self) -> list[Item]:
        """The items that are restored, in the archive's order."""
        taken = self.weights.keys() if self.ids is None else self.ids
        return [item for item in self.items if item.id in taken]


@dataclass
class _Said:
    """What the program has said so far, read piece by piece."""

    done: set[int] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)
    rest: bytes = b""

    def take(self, data: bytes) -> None:
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            if found := _DONE.search(line):
                self.done.add(int(found.group(1)))
            elif b"error: " in line and len(self.errors) < ERRORS_KEPT:
                self.errors.append(line.decode(errors="replace"))

    @property
    def hard(self) -> list[str]:
        """Errors but those that only say that the server is older than the program."""
        return [error for error in self.errors if not UNKNOWN_THERE.search(error)]


@contextlib.contextmanager
def seekable(file: Path, scratch: Path | None) -> Iterator[Path]:
    """The archive where pg_restore can jump about in it: decompressed to scratch when it must be.

    Raises:
        RestoreFailed: the scratch disk would be full.
        Undecodable: the file is not what was once written.
    """
    if file.suffix != ".zst":
        yield file
        return
    with tempfile.TemporaryDirectory(prefix="shippyard-restore-", dir=scratch) as folder:
        plain = Path(folder) / file.stem
        with decompressed(file) as stream, plain.open("wb") as out:
            plain.chmod(0o600)
            while chunk := stream.read(CHUNK_BYTES):
                _refuse_full(plain, len(chunk))
                out.write(chunk)
        yield plain


def contents_of(processes: Processes, tools: Tools, file: Path) -> list[Item]:
    """What the archive holds.

    Raises:
        RestoreFailed: pg_restore can't read it.
    """
    with tempfile.TemporaryDirectory(prefix="shippyard-restore-") as folder:
        listing = Path(folder) / "list"
        argv = [tools.path("pg_restore"), "--list", "--verbose", f"--file={listing}", str(file)]
        done = processes.run(argv, timeout_s=LIST_TIMEOUT_S)
        if done.returncode:
            raise RestoreFailed(f"{file.name} can't be read: {one_line(Exception(done.reason()))}")
        return parse_contents(listing.read_text())


def statements_for(processes: Processes, tools: Tools, file: Path, items: Iterable[Item]) -> str:
    """The SQL of some of the archive's items, without connecting to anything.

    Raises:
        RestoreFailed: pg_restore can't read it.
    """
    with tempfile.TemporaryDirectory(prefix="shippyard-restore-") as folder:
        out = Path(folder) / "sql"
        wanted = _use_list(Path(folder), items)
        argv = [tools.path("pg_restore"), f"--file={out}", wanted, str(file)]
        done = processes.run(argv, timeout_s=LIST_TIMEOUT_S)
        if done.returncode:
            raise RestoreFailed(f"{file.name} can't be read: {one_line(Exception(done.reason()))}")
        return out.read_text()


def load(hands: Hands, task: Load, progress: Progress) -> int:
    """Run pg_restore to its end; gives how many objects were restored.

    Raises:
        RestoreFailed: it stopped at an error, was ended, or ran past its time.
    """
    older = server_major(hands.into) < hands.tools.major
    argv = [
        hands.tools.path("pg_restore"),
        "--verbose",
        f"--jobs={task.jobs}",
        # A newer pg_restore sets parameters that an older server has not; those are told apart
        # below, and anything else still fails the restore.
        *([] if older else ["--exit-on-error"]),
        *hands.into.arguments(),
    ]
    with tempfile.TemporaryDirectory(prefix="shippyard-restore-") as folder:
        if task.ids is not None:
            argv.append(_use_list(Path(folder), task.wanted))
        argv.append(str(task.file))
        return _drive(hands, argv, task, progress)


def dump_schema(hands: Hands, schema: str, file: Path, timeout_s: float) -> None:
    """Dump one schema, which a restore has renamed, so that it can be put where it belongs.

    Raises:
        RestoreFailed: pg_dump failed.
    """
    argv = [
        hands.tools.path("pg_dump"),
        "--format=custom",
        "--compress=0",
        f"--schema={_pattern(schema)}",
        f"--file={file}",
        *hands.into.arguments(),
    ]
    _run(hands, argv, timeout_s)


def run_script(hands: Hands, script: Path, timeout_s: float) -> None:
    """Run an SQL script whole or not at all.

    Raises:
        RestoreFailed: a statement failed; nothing of it is left.
    """
    argv = [
        hands.tools.path("psql"),
        "--no-psqlrc",
        "--quiet",
        "--single-transaction",
        "--set=ON_ERROR_STOP=1",
        f"--file={script}",
        *hands.into.arguments(),
    ]
    _run(hands, argv, timeout_s)


def with_remedy(reason: str) -> str:
    """What the server said, and what mends it where that is known."""
    for symptom, remedy in REMEDIES.items():
        if symptom in reason:
            return f"{reason}; {remedy}"
    return reason


def _run(hands: Hands, argv: list[str], timeout_s: float) -> None:
    program = Path(argv[0]).name
    env = hands.into.environment() | {"PGAPPNAME": APPLICATION}
    try:
        done = hands.processes.run(argv, timeout_s=timeout_s, env=env)
    except ProcessTimedOut:
        raise RestoreFailed(f"{program} was ended after {timeout_s:g} s") from None
    if done.returncode:
        raise RestoreFailed(with_remedy(one_line(Exception(done.reason()))[:REASON_CHARS]))


def _pattern(schema: str) -> str:
    """A schema's name where pg_dump expects a pattern."""
    return '"' + schema.replace('"', '""') + '"'


def _drive(hands: Hands, argv: list[str], task: Load, progress: Progress) -> int:
    said, began = _Said(), hands.clock.monotonic()
    env = hands.into.environment() | {"PGAPPNAME": APPLICATION}
    with tempfile.TemporaryFile() as stderr:
        reader = _Reader(stderr, said)

        def tick() -> None:
            reader.read()
            progress(_how_far(task, said.done, hands.clock.monotonic() - began))

        try:
            with hands.processes.start(argv, env=env, stderr=stderr) as child:
                status = child.wait(task.timeout_s, tick)
                reader.read()
        except ProcessTimedOut:
            raise RestoreFailed(
                f"pg_restore was ended after {task.timeout_s:g} s; give it longer with --timeout"
            ) from None
        finally:
            # A program that is gone leaves the index it was building to its session.
            _end_sessions(hands.into)
    if hands.processes.stopping or status == SIGTERM_STATUS:
        raise RestoreInterrupted("stopped: pg_restore was asked to end")
    if said.hard or (status and not said.errors):
        raise RestoreFailed(_first_error(said.hard, status))
    return len(task.wanted)


class _Reader:
    """Follows the file that a program writes its words to, without moving where it writes."""

    def __init__(self, file: IO[bytes], said: _Said) -> None:
        self._file = file
        self._said = said
        self._at = 0

    def read(self) -> None:
        while data := os.pread(self._file.fileno(), CHUNK_BYTES, self._at):
            self._at += len(data)
            self._said.take(data)


def _how_far(task: Load, done: set[int], elapsed_s: float) -> dict[str, Any]:
    wanted = {item.id for item in task.wanted}
    total = sum(task.weights.get(each, 1) for each in wanted) or 1
    behind = sum(task.weights.get(each, 1) for each in done & wanted)
    message = f"{len(done & wanted)} of {len(wanted)} objects"
    fields: dict[str, Any] = {"phase": "restoring", "message": message}
    if elapsed_s > ETA_FROM_S and total * ETA_FROM_SHARE < behind < total:
        fields["eta_s"] = round(elapsed_s * (total - behind) / behind, 1)
        fields["message"] = f"{message}, about {fields['eta_s']:.0f} s left"
    return fields


def _first_error(errors: list[str], status: int) -> str:
    if not errors:
        return f"pg_restore ended with status {status}"
    text = errors[0].split("error: ", 1)[1]
    return with_remedy(one_line(Exception(text))[:REASON_CHARS])


def _use_list(folder: Path, items: Iterable[Item]) -> str:
    """Names the items by number. pg_restore works in the order of the list."""
    wanted = folder / "wanted"
    wanted.write_text("".join(f"{item.id}; 0 0 {item.text}\n" for item in items))
    return f"--use-list={wanted}"


def _end_sessions(into: Target) -> None:
    question = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = %(name)s"
        " AND pid <> pg_backend_pid()"
    )
    with contextlib.suppress(Unreachable, QueryFailed), session(into, "restore-end") as opened:
        opened.query(question, {"name": APPLICATION})


def server_major(into: Target) -> int:
    """The major version of the server.

    Raises:
        Unreachable: there is none.
    """
    with session(into, "restore-look") as opened:
        return opened.server_version // 10_000


def _refuse_full(file: Path, chunk_bytes: int) -> None:
    free = shutil.disk_usage(file.parent).free
    if free < chunk_bytes + SPARE_BYTES:
        raise RestoreFailed(
            f"{file.parent} has {free} bytes free and the decompressed dump needs more than "
            f"{file.stat().st_size}; name a larger folder with --scratch"
        )
