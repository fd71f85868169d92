"""Owns our compressed files: one zstd frame with a content checksum, hashed while it is written.

A decoder that only decodes misses most flipped bits and takes a cut file for a short one. So the
frames are walked before they are decoded: each must be whole and carry a checksum, and the decoder
compares that. Knows nothing of what is compressed; `zstd -d` reads these files too.
"""

import contextlib
import hashlib
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import zstandard

from shippyard.backup.manifest import FileEntry
from shippyard.host.files import fsync_path

CHUNK_BYTES = 1024 * 1024
FILE_MODE = 0o600
# The largest level that config allows, 19, uses 8 MiB; a larger window would only cost memory.
WINDOW_MAX_BYTES = 128 * 1024 * 1024

CUT = "cut off: it ends in the middle of a frame"

_MAGIC = 0xFD2FB528
_SKIPPABLE = range(0x184D2A50, 0x184D2A60)
_HEADER_MIN_BYTES, _HEADER_MAX_BYTES = 8, 18
_BLOCK_HEADER_BYTES = 3
_RLE_BLOCK, _RESERVED_BLOCK = 1, 3
_CHECKSUM_BYTES = 4


class Undecodable(Exception):
    """A compressed file is not what was once written; one line that says in what way."""


class Compressing:
    """A new compressed file, for the length of a block; an error takes the file away again.

    The file is made by us alone (`O_EXCL`), closed to others, and on disk when the block is left;
    `entry` then says its size and hash. Memory is bounded, whatever is written. `threads` compress
    at once; 0 does it in the caller's own.

    Raises:
        FileExistsError: the file is there already.
        OSError: it can't be written.
    """

    def __init__(self, path: Path, *, level: int = 3, threads: int = 1) -> None:
        self.path = path
        self.size_bytes = 0
        """Compressed bytes that were handed to the disk so far."""
        self.read_bytes = 0
        """Bytes that were put in so far."""
        self._sha256 = hashlib.sha256()
        self._compressor = zstandard.ZstdCompressor(
            level=level, write_checksum=True, write_content_size=False, threads=threads
        ).compressobj()
        self._fd = -1
        self._entry: FileEntry | None = None

    @property
    def entry(self) -> FileEntry:
        """Name, size and hash of the finished file."""
        assert self._entry is not None, f"{self.path} is not finished"
        return self._entry

    def write(self, data: bytes) -> int:
        """Compress more."""
        self.read_bytes += len(data)
        self._put(self._compressor.compress(data))
        return len(data)

    def __enter__(self) -> Self:
        self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            os.close(self._fd)
            if self._entry is None:
                self.path.unlink(missing_ok=True)

    def _finish(self) -> None:
        self._put(self._compressor.flush())
        os.fsync(self._fd)
        self._entry = FileEntry(self.path.name, self.size_bytes, self._sha256.hexdigest())

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        self._sha256.update(view)
        self.size_bytes += len(view)
        while view:
            view = view[os.write(self._fd, view) :]


def compress_file(source: Path, destination: Path, level: int = 3, threads: int = 1) -> FileEntry:
    """A compressed copy of a file, on disk together with its name when this returns.

    Raises:
        FileExistsError: `destination` is there already.
        OSError: one of the two can't be read or written; then there is no `destination`.
    """
    with source.open("rb") as opened, Compressing(destination, level=level, threads=threads) as out:
        while chunk := opened.read(CHUNK_BYTES):
            out.write(chunk)
    fsync_path(destination.parent)
    return out.entry


@contextlib.contextmanager
def decompressed(
    path: Path, on_read: Callable[[int], object] = lambda _: None
) -> Iterator[BinaryIO]:
    """The content of a compressed file, as a stream in bounded memory.

    Proof of the whole is only had by reading to the end: the checksum stands there. `on_read` is
    told how many bytes of the file itself were read, each time some are.

    Raises:
        Undecodable: at once when the file is cut, or is none of ours; while reading, when what is
            decoded is not what was compressed.
        OSError: the file can't be read.
    """
    with path.open("rb") as file:
        _walk(file, path.stat().st_size)
        file.seek(0)
        decoder = zstandard.ZstdDecompressor(max_window_size=WINDOW_MAX_BYTES)
        frames = decoder.stream_reader(
            _Watched(file, on_read),  # type: ignore[arg-type]  # it only reads
            read_size=CHUNK_BYTES,
            read_across_frames=True,
            closefd=False,
        )
        with io.BufferedReader(_Decoded(frames), CHUNK_BYTES) as stream:
            yield stream


def undecodable(path: Path) -> str | None:
    """What is wrong with a compressed file after all of it was decoded; None when nothing is.

    Raises:
        OSError: the file can't be read.
    """
    try:
        with decompressed(path) as stream:
            while stream.read(CHUNK_BYTES):
                pass
    except Undecodable as error:
        return str(error)
    return None


class _Watched:
    """A file whose reader's place is told."""

    def __init__(self, file: BinaryIO, on_read: Callable[[int], object]) -> None:
        self._file = file
        self._on_read = on_read

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self._on_read(len(data))
        return data


class _Decoded(io.RawIOBase):
    """What a decoder gives, its errors in our words."""

    def __init__(self, frames: zstandard.ZstdDecompressionReader) -> None:
        self._frames = frames

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview[int]") -> int:  # type: ignore[override]  # typeshed's WriteableBuffer is private
        try:
            return self._frames.readinto(buffer)
        except zstandard.ZstdError as error:
            raise Undecodable(_in_our_words(str(error))) from None


def _in_our_words(said: str) -> str:
    if "checksum" in said:
        return "the content differs from its checksum"
    return f"the content can't be decoded ({said.rpartition(': ')[2]})"


def _walk(file: BinaryIO, size_bytes: int) -> None:
    """Go over every frame by its block headers: the last one must end where the file does."""
    position = 0
    while position < size_bytes or position == 0:
        position = _end_of_frame(file, position)
        if position > size_bytes:
            raise Undecodable(CUT)


def _end_of_frame(file: BinaryIO, position: int) -> int:
    """Where the frame that begins at `position` must end (RFC 8878, section 3.1)."""
    file.seek(position)
    header = file.read(_HEADER_MAX_BYTES)
    magic = int.from_bytes(header[:4], "little")
    if len(header) < _HEADER_MIN_BYTES:
        raise Undecodable(CUT)
    if magic in _SKIPPABLE:
        return position + _HEADER_MIN_BYTES + int.from_bytes(header[4:8], "little")
    if magic != _MAGIC:
        raise Undecodable(f"there is no zstd frame at byte {position}")
    if not header[4] & 0b100:
        raise Undecodable("a frame has no checksum: it was not written by Shippyard")
    return _end_of_blocks(file, position + _header_bytes(header[4])) + _CHECKSUM_BYTES


def _header_bytes(descriptor: int) -> int:
    """How long a frame's header is, magic number included."""
    single_segment = bool(descriptor & 0b100000)
    content_size = (int(single_segment), 2, 4, 8)[descriptor >> 6]
    dictionary = (0, 1, 2, 4)[descriptor & 0b11]
    return 5 + (not single_segment) + dictionary + content_size


def _end_of_blocks(file: BinaryIO, position: int) -> int:
    """Where the last block of a frame ends; `position` is where its first begins."""
    last = False
    while not last:
        file.seek(position)
        raw = file.read(_BLOCK_HEADER_BYTES)
        if len(raw) < _BLOCK_HEADER_BYTES:
            raise Undecodable(CUT)
        header = int.from_bytes(raw, "little")
        last, kind, size_bytes = bool(header & 1), (header >> 1) & 0b11, header >> 3
        if kind == _RESERVED_BLOCK:
            raise Undecodable(f"there is no zstd block at byte {position}")
        position += _BLOCK_HEADER_BYTES + (1 if kind == _RLE_BLOCK else size_bytes)
    return position
