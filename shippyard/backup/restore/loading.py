"""Owns driving pg_restore over an archive: at once where it can jump about in it, or by sections.

A dump that was streamed into a compressed file has its data in one row, and no note of where: to
jump about in it pg_restore would read all of it for each table. So it is never unpacked to disk:
its data goes through a pipe, once, and what is before and after comes from its first bytes, which
hold the table of contents. A program that is ended takes its sessions on the server with it.
"""

import re
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from os import pread
from pathlib import Path
from typing import IO, Any, Literal

from shippyard.backup.compression import CHUNK_BYTES, decompressed
from shippyard.backup.restore.archive import (
    APPLICATION,
    LIST_TIMEOUT_S,
    REASON_CHARS,
    Hands,
    Progress,
    RestoreFailed,
    RestoreInterrupted,
    end_sessions,
    server_major,
    use_list,
    with_remedy,
)
from shippyard.backup.restore.contents import Item
from shippyard.host.process import Child, ProcessTimedOut
from shippyard.postgres.session import one_line

HEAD_BYTES = 8 * 1024 * 1024
HEAD_GROWS = 8
ERRORS_KEPT = 20
TICK_S = 0.2
ETA_FROM_S, ETA_FROM_SHARE = 2.0, 0.2
"""Less than that says nothing of how long the rest takes."""
SIGTERM_STATUS = -signal.SIGTERM
PASSED_OVER_STATUS = 1

Section = Literal["pre-data", "data", "post-data"]

# What pg_restore of a newer major says to an older server, which is no error of the restore's.
UNKNOWN_THERE = re.compile(r'unrecognized configuration parameter "[a-z_]+"')

_DONE = re.compile(rb"(?:finished|processing) item (\d+) ")
_DATA_OF = re.compile(rb'processing data for table "(.+)"')


@dataclass(frozen=True)
class Archive:
    """What pg_restore is given. With a `stream`, `file` holds its beginning only."""

    file: Path
    stream: Path | None = None


@dataclass(frozen=True)
class Load:
    """What of an archive is restored, and how long it may take."""

    archive: Archive
    items: tuple[Item, ...]
    weights: Mapping[int, int]
    jobs: int
    timeout_s: float
    ids: frozenset[int] | None = None
    """What is taken of the archive; None for all."""
    in_default: bool = False
    """Everything goes to the default tablespace: the server lacks one that the archive names."""

    @property
    def wanted(self) -> list[Item]:
        """The items that are restored, in the archive's order."""
        taken = self.weights.keys() if self.ids is None else self.ids
        return [item for item in self.items if item.id in taken]


@contextmanager
def opened(hands: Hands, file: Path, scratch: Path | None) -> Iterator[Archive]:
    """The archive as pg_restore can read it.

    Raises:
        Undecodable: the file is not what was once written.
        OSError: its beginning can't be put to scratch.
    """
    if file.suffix != ".zst":
        yield Archive(file)
        return
    with tempfile.TemporaryDirectory(prefix="shippyard-restore-", dir=scratch) as folder:
        head, wanted = Path(folder) / file.stem, HEAD_BYTES
        while not (is_whole := _begin(file, head, wanted)) and not _is_listed(hands, head):
            wanted *= HEAD_GROWS
        yield Archive(head, None if is_whole else file)


def load(hands: Hands, task: Load, progress: Progress) -> int:
    """Restore what is wanted; gives how many objects.

    Raises:
        RestoreInterrupted: somebody asked for an end.
        RestoreFailed: it stopped at an error, or ran past its time.
    """
    if task.archive.stream is None:
        _Run(hands, task, progress, None).run()
        return len(task.wanted)
    ends = hands.clock.monotonic() + task.timeout_s
    done: set[int] = set()
    for section in ("pre-data", "data", "post-data"):
        left_s = max(1.0, ends - hands.clock.monotonic())
        one = _Run(hands, replace(task, timeout_s=left_s), progress, section, done)
        one.run()
        done = one.done
    return len(task.wanted)


@dataclass
class _Said:
    """What the program has said so far, read piece by piece."""

    file: IO[bytes]
    named: Mapping[bytes, int]
    """Items of data by the name by which they are said."""
    done: set[int]
    errors: list[str] = field(default_factory=list)
    is_older: bool = False
    """The server does not know all that the program sets, which is no error of the restore's."""
    at: int = 0
    rest: bytes = b""
    busy: int | None = None

    def read(self) -> None:
        """Read on, without moving where the program writes."""
        while data := pread(self.file.fileno(), CHUNK_BYTES, self.at):
            self.at += len(data)
            *lines, self.rest = (self.rest + data).split(b"\n")
            for line in lines:
                self._take(line)

    def _take(self, line: bytes) -> None:
        if found := _DONE.search(line):
            self.done.add(int(found.group(1)))
        elif (data := _DATA_OF.search(line)) and self.named:
            # In a pipe one table follows the other.
            self.done |= {self.busy} if self.busy is not None else set()
            self.busy = self.named.get(data.group(1))
        elif b"error: " in line:
            self._take_error(line.decode(errors="replace"))

    def excuses(self, status: int) -> bool:
        """Whether all went well: 1 is what errors end with that were passed over."""
        return status == 0 or (status == PASSED_OVER_STATUS and self.is_older)

    def _take_error(self, error: str) -> None:
        # Each job says once what the server does not know: they must not push others out.
        if UNKNOWN_THERE.search(error):
            self.is_older = True
        elif len(self.errors) < ERRORS_KEPT:
            self.errors.append(error)


class _Run:
    """One run of pg_restore: of all, or of one section."""

    def __init__(
        self,
        hands: Hands,
        task: Load,
        progress: Progress,
        section: Section | None,
        done: set[int] | None = None,
    ) -> None:
        self._hands = hands
        self._task = task
        self._progress = progress
        self._stream = task.archive.stream if section == "data" else None
        self._section = section
        self._began = hands.clock.monotonic()
        self._told = self._began
        self._read_bytes = 0
        self.done = set(done or ())

    def run(self) -> None:
        """Run it to its end.

        Raises:
            RestoreInterrupted, RestoreFailed: it did not do all.
        """
        hands = self._hands
        with (
            tempfile.TemporaryDirectory(prefix="shippyard-restore-") as folder,
            tempfile.TemporaryFile() as stderr,
        ):
            said = _Said(stderr, self._names(), self.done)
            try:
                status = self._drive(self._argv(Path(folder)), said)
            except ProcessTimedOut:
                raise RestoreFailed(
                    f"pg_restore was ended after {self._task.timeout_s:g} s; "
                    "give it longer: --timeout, or backup.timeout_s for the daemon"
                ) from None
            finally:
                # A program that is gone leaves the index it was building to its session.
                end_sessions(hands.into)
            if hands.processes.stopping or status == SIGTERM_STATUS:
                raise RestoreInterrupted("stopped: pg_restore was asked to end")
            if said.errors or not said.excuses(status):
                raise RestoreFailed(_first_error(said.errors, status, hands.into.user))
            if said.busy is not None:
                self.done.add(said.busy)

    def _argv(self, folder: Path) -> list[str]:
        hands, task = self._hands, self._task
        older = server_major(hands.into) < hands.tools.major
        return [
            hands.tools.path("pg_restore"),
            "--verbose",
            *([f"--section={self._section}"] if self._section else []),
            # A pipe is read once, by one.
            *([] if self._stream else [f"--jobs={task.jobs}"]),
            # A newer pg_restore sets parameters that an older server has not; those are told
            # apart from other errors, any of which still fails the restore.
            *([] if older else ["--exit-on-error"]),
            *(["--no-tablespaces"] if task.in_default else []),
            *([] if task.ids is None else [use_list(folder, task.wanted)]),
            *hands.into.arguments(),
            *([] if self._stream else [str(task.archive.file)]),
        ]

    def _drive(self, argv: list[str], said: _Said) -> int:
        env = self._hands.into.environment() | {"PGAPPNAME": APPLICATION}

        def tick() -> None:
            said.read()
            self._tell()

        piped = self._stream is not None
        with self._hands.processes.start(
            argv, env=env, stderr=said.file, pipe_stdin=piped
        ) as child:
            if piped:
                self._feed(child, tick)
            left_s = self._began + self._task.timeout_s - self._hands.clock.monotonic()
            status = child.wait(max(0.0, left_s), tick)
            said.read()
            return status

    def _feed(self, child: Child, tick: Callable[[], None]) -> None:
        assert self._stream is not None, "a stream"
        with decompressed(self._stream, self._note) as stream:
            child.feed(self._pieces(stream, tick), self._task.timeout_s)

    def _pieces(self, stream: IO[bytes], tick: Callable[[], None]) -> Iterator[bytes]:
        while data := stream.read(CHUNK_BYTES):
            yield data
            if self._hands.clock.monotonic() - self._told > TICK_S:
                tick()

    def _note(self, size_bytes: int) -> None:
        self._read_bytes += size_bytes

    def _names(self) -> dict[bytes, int]:
        """Tables of the stream by `schema.name`, as pg_restore calls them."""
        if self._stream is None:
            return {}
        data = (item for item in self._task.wanted if item.is_a("TABLE DATA"))
        words = ((item.id, item.text.removeprefix("TABLE DATA ")) for item in data)
        return {text.rpartition(" ")[0].replace(" ", ".", 1).encode(): id_ for id_, text in words}

    def _tell(self) -> None:
        self._told = self._hands.clock.monotonic()
        elapsed_s = self._told - self._began
        wanted = {item.id for item in self._task.wanted}
        message = f"{len(self.done & wanted)} of {len(wanted)} objects"
        fields: dict[str, Any] = {"phase": "restoring"}
        if self._stream is not None:
            total = self._stream.stat().st_size
            fields |= {"size_bytes": self._read_bytes, "expected_bytes": total}
            share = self._read_bytes / max(1, total)
            what = "of the data"
        else:
            share, what = self._share(wanted), ""
        if elapsed_s > ETA_FROM_S and ETA_FROM_SHARE < share < 1:
            fields["eta_s"] = round(elapsed_s * (1 - share) / share, 1)
            message = f"{message}, about {fields['eta_s']:.0f} s {what}".rstrip() + " left"
        self._progress({**fields, "message": message})

    def _share(self, wanted: set[int]) -> float:
        """How much of the work is done, by the weights of what is."""
        weights = self._task.weights
        total = sum(weights.get(each, 1) for each in wanted) or 1
        return sum(weights.get(each, 1) for each in self.done & wanted) / total


def _begin(file: Path, head: Path, size_bytes: int) -> bool:
    """Put the beginning of a compressed archive into `head`; whether that is all of it."""
    with decompressed(file) as stream, head.open("wb") as out:
        head.chmod(0o600)
        left = size_bytes
        while left and (data := stream.read(min(left, CHUNK_BYTES))):
            left -= out.write(data)
        return not stream.read(1)


def _is_listed(hands: Hands, head: Path) -> bool:
    """Whether the table of contents is in it whole."""
    argv = [hands.tools.path("pg_restore"), "--list", "--file=/dev/null", str(head)]
    return hands.processes.run(argv, timeout_s=LIST_TIMEOUT_S).returncode == 0


def _first_error(errors: list[str], status: int, role: str) -> str:
    if not errors:
        return f"pg_restore ended with status {status}"
    text = errors[0].split("error: ", 1)[1]
    return with_remedy(one_line(Exception(text))[:REASON_CHARS], role)
