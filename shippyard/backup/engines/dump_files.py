"""Owns the files of a dump: their names, and the proof that each can be read to its end.

`NAME.dump.zst` is an archive in pg_dump's custom format inside a checksummed zstd frame;
`NAME.dump/` one in its directory format. Beside it are `schema.sql`, and `globals.sql` or, with
role passwords, `globals.sql.age`. Hashes are compared by others.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from shippyard.backup.compression import CHUNK_BYTES, Undecodable, decompressed
from shippyard.backup.engines.dump_program import decode
from shippyard.backup.manifest import FileEntry
from shippyard.backup.model import Kind
from shippyard.host.process import Processes
from shippyard.postgres.tools import Tools

SCHEMA_FILE = "schema.sql"
GLOBALS_FILE = "globals.sql"
SEALED_GLOBALS_FILE = "globals.sql.age"
CONTENTS_FILE = "toc.dat"
STREAM_SUFFIX = ".dump.zst"
FOLDER_SUFFIX = ".dump"

SCHEMA_END = b"\n-- PostgreSQL database dump complete\n"
GLOBALS_END = b"\n-- PostgreSQL database cluster dump complete\n"
AGE_START = b"age-encryption.org/v1\n"
# After the marker stands at most an `\unrestrict` line with its key.
TAIL_BYTES = 1024

# A pg_restore that says so can't judge the archive; another one may.
_INCAPABLE = ("unsupported version", "does not support compression", "not supported by this build")


def archive_name(files: Iterable[str]) -> str | None:
    """The archive among an artifact's files, as pg_restore is given it (a frame: decompressed).

    A name that ends in `STREAM_SUFFIX` is a file, any other a folder; None when there is none.
    """
    for name in files:
        if name.endswith(STREAM_SUFFIX):
            return name
        if name.endswith(f"{FOLDER_SUFFIX}/{CONTENTS_FILE}"):
            return name.removesuffix(f"/{CONTENTS_FILE}")
    return None


def ends_whole(data: bytes, end: bytes) -> bool:
    """Whether SQL that a tool wrote has its end."""
    return end in data[-TAIL_BYTES:]


class DumpReader:
    """Decodes the files of one dump with the first of `tools` that can."""

    def __init__(self, processes: Processes, tools: Sequence[Tools], timeout_s: float) -> None:
        """`tools` are in the order in which they are to be tried."""
        self._processes = processes
        self._tools = tools
        self._timeout_s = timeout_s

    def problems(self, kind: Kind, folder: Path, files: Iterable[FileEntry]) -> list[str]:
        """What is wrong with the files after all of each was read; empty when nothing is.

        Raises:
            EngineFailed: a decode was ended, which says nothing of the files.
            ProcessesStopped, OSError: they could not be looked at.
        """
        names = [entry.name for entry in files]
        found = {name: self._problem(folder / name) for name in self._readable(names)}
        wrong = [f"{name} can't be decoded: {why}" for name, why in found.items() if why]
        return [*_absent(kind, names), *wrong]

    def _readable(self, names: Sequence[str]) -> list[str]:
        """What is read as one: the plain files, and the archive, be it a file or a folder."""
        archive = archive_name(names)
        rest = [name for name in names if "/" not in name and name != archive]
        return [*([archive] if archive else []), *rest]

    def _problem(self, path: Path) -> str | None:
        if path.name.endswith(STREAM_SUFFIX):
            return self._by_first_able(self._stream_problem, path)
        if path.name.endswith(FOLDER_SUFFIX):
            return self._by_first_able(self._folder_problem, path)
        if path.name == SEALED_GLOBALS_FILE:
            return None if _head(path, len(AGE_START)) == AGE_START else "it is no age file"
        end = GLOBALS_END if path.name == GLOBALS_FILE else SCHEMA_END
        return None if ends_whole(_tail(path), end) else "the end of the dump is missing"

    def _by_first_able(self, read: Callable[[Tools, Path], str | None], path: Path) -> str | None:
        """What the first pg_restore says that can read such an archive; else what the last did."""
        problem: str | None = "no pg_restore is installed here"
        for tools in self._tools:
            problem = read(tools, path)
            if problem is None or not any(words in problem for words in _INCAPABLE):
                return problem
        return problem

    def _folder_problem(self, tools: Tools, path: Path) -> str | None:
        return decode(self._processes, tools, self._timeout_s, folder=path)

    def _stream_problem(self, tools: Tools, path: Path) -> str | None:
        try:
            with decompressed(path) as stream:
                pieces = _pieces(stream)
                said = decode(self._processes, tools, self._timeout_s, pieces=pieces)
                # pg_restore is done with its archive; the checksum stands behind that.
                for _ in pieces:
                    pass
        except Undecodable as error:
            return str(error)
        return said


def _absent(kind: Kind, names: Sequence[str]) -> list[str]:
    absent = [] if SCHEMA_FILE in names else [SCHEMA_FILE]
    if kind == "dump":
        absent += [] if archive_name(names) else ["the archive"]
        absent += [] if {GLOBALS_FILE, SEALED_GLOBALS_FILE} & set(names) else [GLOBALS_FILE]
    return [f"{each} is missing" for each in absent]


def _pieces(stream: BinaryIO) -> Iterator[bytes]:
    while piece := stream.read(CHUNK_BYTES):
        yield piece


def _head(path: Path, size_bytes: int) -> bytes:
    with path.open("rb") as file:
        return file.read(size_bytes)


def _tail(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        return file.read()
