"""Owns an append-only list on disk: what was put somewhere, what was taken away, what was lost.

Each line carries its own checksum and is on disk when `append` returns; a line that a power cut
tore, or that rotted, is left out and counted. Several processes may append at once. Knows nothing
of what the words mean.
"""

import fcntl
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from shippyard.host.files import fsync_path

FILE_MODE = 0o600


class Index:
    """The list in one file. What was read before is not read again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self._inode = 0
        self._offset = 0
        self._generation = 0
        self._lines: list[tuple[str, ...]] = []
        self.damaged = 0
        """Lines that could not be read."""

    def append(self, *lines: Sequence[str]) -> None:
        """Add lines, durably, each of words without spaces.

        Raises:
            OSError: it can't be written.
        """
        fresh = not self._path.exists()
        fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            # A torn line must not swallow the next one.
            size = os.fstat(fd).st_size
            torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
            os.write(fd, (b"\n" if torn else b"") + b"".join(map(_rendered, lines)))
            os.fsync(fd)
        finally:
            os.close(fd)
        if fresh:
            fsync_path(self._path.parent)

    def read(self) -> tuple[int, Sequence[tuple[str, ...]]]:
        """Every good line, oldest first, and a number that changes when the list began anew.

        While the number is the same, lines are only added.

        Raises:
            OSError: the file is there and can't be read.
        """
        with self._lock:
            self._read_on()
            return self._generation, self._lines

    def _read_on(self) -> None:
        try:
            with self._path.open("rb") as file:
                found = os.fstat(file.fileno())
                if found.st_ino != self._inode or found.st_size < self._offset:
                    self._begin(found.st_ino)
                file.seek(self._offset)
                whole, newline, _ = file.read().rpartition(b"\n")
        except FileNotFoundError:
            if self._inode:
                self._begin(0)
            return
        self._offset += len(whole) + len(newline)
        for line in whole.split(b"\n") if newline else ():
            self._take(line)

    def _begin(self, inode: int) -> None:
        self._inode, self._offset, self._lines, self.damaged = inode, 0, [], 0
        self._generation += 1

    def _take(self, line: bytes) -> None:
        body, _, checksum = line.rpartition(b" ")
        if checksum == f"{zlib.crc32(body):08x}".encode():
            self._lines.append(tuple(body.decode().split(" ")))
        else:
            self.damaged += 1


def _rendered(words: Sequence[str]) -> bytes:
    assert all(word and not set(word) & {" ", "\n"} for word in words), words
    body = " ".join(words).encode()
    return body + f" {zlib.crc32(body):08x}\n".encode()
