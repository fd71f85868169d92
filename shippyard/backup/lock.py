"""Owns mutual exclusion on disk: one holder of a lock file, in this process or any other.

The kernel lets go of the lock when its holder dies, so a lock is never stale; what the file says
of its holder is only for the message. A holder that ends in order leaves it empty.
"""

import contextlib
import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

HOUSEKEEPING = "housekeeping"
"""What a holder says who looks for leftovers, and is gone in a moment."""

UNNAMED = "an unnamed process"
"""Who holds a lock and says nothing, as one does for a moment who comes or goes."""

SAID_BYTES = 200
TURN_PAUSE_S = 0.2


class Busy(Exception):
    """Somebody else holds the lock; the message says who."""


@contextlib.contextmanager
def exclusive(path: Path, holder: str) -> Iterator[str]:
    """Hold `path` for the length of a block. `holder` is one line for those who come second.

    Gives what a holder that died had said of itself; empty when the last one ended in order.

    Raises:
        Busy: it is held.
        OSError: the file can't be made.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _take(fd)
        left = _said(fd)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{holder}, process {os.getpid()}"[:SAID_BYTES].encode(), 0)
        try:
            yield left
        finally:
            with contextlib.suppress(OSError):
                os.ftruncate(fd, 0)
    finally:
        os.close(fd)


@contextlib.contextmanager
def shared(path: Path) -> Iterator[None]:
    """Let nobody hold `path` for the length of a block, beside others who do; waits for a holder.

    Where we may not read the file we do without: there we are guests. Nor do we make one in a
    folder of another account, which could not hold it then.
    """
    with contextlib.ExitStack() as undo:
        with contextlib.suppress(OSError):
            is_ours = path.parent.stat().st_uid == os.geteuid()
            flags = os.O_RDONLY | os.O_CLOEXEC | (os.O_CREAT if is_ours else 0)
            fd = os.open(path, flags, 0o600)
            undo.callback(os.close, fd)
            fcntl.flock(fd, fcntl.LOCK_SH)
        yield


@contextlib.contextmanager
def in_turn(
    path: Path,
    holder: str,
    *,
    timeout_s: float,
    given_up: Callable[[], bool],
    on_wait: Callable[[str], None],
) -> Iterator[None]:
    """Hold `path` for the length of a block, after those who were there before.

    `on_wait` is told whom it waits for, about five times a second.

    Raises:
        Busy: it was not free within `timeout_s`, or `given_up` became true.
        OSError: the file can't be made.
    """
    pause = threading.Event()
    for _ in range(int(timeout_s / TURN_PAUSE_S)):
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(exclusive(path, holder))
            except Busy as busy:
                before = str(busy)
            else:
                yield
                return
        if given_up():
            break
        on_wait(before)
        pause.wait(TURN_PAUSE_S)
    raise Busy(before)


def _take(fd: int) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Busy(_said(fd) or UNNAMED) from None


def _said(fd: int) -> str:
    return os.pread(fd, SAID_BYTES, 0).decode(errors="replace").strip()
