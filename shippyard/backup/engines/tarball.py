"""Owns reading what pg_basebackup wrote: a zstd-compressed tar, as a stream and strictly.

Nothing that PostgreSQL never writes is accepted: links, absolute names, `..`. The
compressed bytes are hashed on their way, and decompressed in a thread of their own, so that the
reader's work overlaps. Knows nothing of what the members mean.
"""

import hashlib
import io
import queue
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Literal, Self, cast

import zstandard

CHUNK_BYTES = 1024 * 1024
AHEAD_CHUNKS = 16
BLOCK_BYTES = 512
# What the server's own compression may use; more would only cost memory.
WINDOW_MAX_BYTES = 128 * 1024 * 1024
SUFFIX = ".tar.zst"

PartKind = Literal["file", "folder"]
_KINDS: dict[bytes, PartKind] = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.DIRTYPE: "folder",
}


class TarballUnusable(Exception):
    """The file is not what pg_basebackup once wrote; one line says in what way."""


@dataclass(frozen=True)
class Part:
    """One member, by its path below the tar's root."""

    name: str
    kind: PartKind
    size_bytes: int


class Tarball:
    """A compressed tar that is read once, from its beginning to its end.

    `sha256` and `size_bytes` of the file are known when all parts were given.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digest = hashlib.sha256()
        self._chunks: queue.Queue[bytes | Exception | None] = queue.Queue(AHEAD_CHUNKS)
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._decompress, name="untar", daemon=True)
        self._chunk = memoryview(b"")
        self._unread = 0
        self.size_bytes = 0
        """Compressed bytes that were read so far."""

    @property
    def sha256(self) -> str:
        """Hash of the compressed file, once its end was reached."""
        return self._digest.hexdigest()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._left.set()
        while self._thread.is_alive():
            self._drop_one()
        self._thread.join()

    def parts(self) -> Iterator[Part]:
        """Every member in order. What was not read of one's content is skipped.

        Raises:
            TarballUnusable: cut, damaged, or with a member that PostgreSQL never writes.
            OSError: the file can't be read.
        """
        while (header := self._header()) is not None:
            part = _part(header)
            self._unread = part.size_bytes
            yield part
            for _ in self.content():
                pass
            self._take(-part.size_bytes % BLOCK_BYTES)
        self._read_to_end()

    def content(self) -> Iterator[memoryview]:
        """What is left of the content of the part that was given last, in chunks.

        Raises:
            TarballUnusable: cut or damaged.
        """
        while self._unread:
            chunk = self._some(self._unread)
            self._unread -= len(chunk)
            yield chunk

    def _header(self) -> tarfile.TarInfo | None:
        """The next member's header; None at the end."""
        block = self._take(BLOCK_BYTES)
        if not any(block):
            return None
        try:
            return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise TarballUnusable(f"{self._path.name} is damaged: {error}") from None

    def _take(self, size_bytes: int) -> bytes:
        taken = bytearray()
        while len(taken) < size_bytes:
            taken += self._some(size_bytes - len(taken))
        return bytes(taken)

    def _some(self, most_bytes: int) -> memoryview:
        """At least one byte of the tar."""
        if not self._chunk:
            self._chunk = self._next_chunk()
        if not self._chunk:
            raise TarballUnusable(f"{self._path.name} is cut off: the tar's end is missing")
        some, self._chunk = self._chunk[:most_bytes], self._chunk[most_bytes:]
        return some

    def _next_chunk(self) -> memoryview:
        got = self._chunks.get()
        if isinstance(got, Exception):
            raise got
        return memoryview(got or b"")

    def _read_to_end(self) -> None:
        """Only padding may follow, and the hash is of all of the file."""
        while self._chunk or (chunk := self._next_chunk()):
            rest, self._chunk = self._chunk or chunk, memoryview(b"")
            if any(rest):
                raise TarballUnusable(f"{self._path.name} goes on behind its end")

    def _drop_one(self) -> None:
        try:
            self._chunks.get(timeout=0.05)
        except queue.Empty:
            return

    def _decompress(self) -> None:
        """In a thread: chunks of the tar, then None, or what went wrong."""
        try:
            with self._path.open("rb", buffering=0) as file:
                self._put_frames(cast("IO[bytes]", _Hashed(file, self.note)))
            self._chunks.put(None)
        except zstandard.ZstdError as error:
            said = str(error).rpartition(": ")[2]
            self._chunks.put(TarballUnusable(f"{self._path.name} can't be decompressed: {said}"))
        except Exception as error:  # noqa: BLE001  raised again where the chunks are read
            self._chunks.put(error)

    def _put_frames(self, source: IO[bytes]) -> None:
        decoder = zstandard.ZstdDecompressor(max_window_size=WINDOW_MAX_BYTES)
        stream = decoder.stream_reader(source, read_size=CHUNK_BYTES, read_across_frames=True)
        while not self._left.is_set() and (chunk := stream.read(CHUNK_BYTES)):
            self._chunks.put(chunk)

    def note(self, data: bytes) -> None:
        """Count and hash compressed bytes that were read."""
        self._digest.update(data)
        self.size_bytes += len(data)


class _Hashed(io.RawIOBase):
    """The compressed file; what is read of it is noted."""

    def __init__(self, file: io.FileIO, note: Callable[[bytes], None]) -> None:
        self._file = file
        self._note = note

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size) or b""
        self._note(data)
        return data


def _part(header: tarfile.TarInfo) -> Part:
    kind = _KINDS.get(header.type)
    name = PurePosixPath(header.name)
    if kind is None or name.is_absolute() or ".." in name.parts:
        raise TarballUnusable(
            f"PostgreSQL never writes a member like {header.name!r}: not unpacked"
        )
    return Part(str(name), kind, header.size if kind == "file" else 0)
