"""Owns mutual exclusion on disk: one holder of a lock file, in this process or any other.

The kernel lets go of the lock when its holder dies, so a lock is never stale; what the file says
of its holder is only for the message.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

SAID_BYTES = 200


class Busy(Exception):
    """Somebody else holds the lock; the message says who."""


@contextlib.contextmanager
def exclusive(path: Path, holder: str) -> Iterator[None]:
    """Hold `path` for the length of a block. `holder` is one line for those who come second.

    Raises:
        Busy: it is held.
        OSError: the file can't be made.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            said = os.pread(fd, SAID_BYTES, 0).decode(errors="replace").strip()
            raise Busy(said or "an unnamed process") from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{holder}, process {os.getpid()}"[:SAID_BYTES].encode(), 0)
        yield
    finally:
        os.close(fd)
