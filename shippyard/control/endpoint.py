"""Owns the socket file: claimed by one daemon, opened to one group, removed in the end.

A lock beside the file says whether a daemon holds it; what a dead one left is replaced. Knows
nothing of what is said on the socket.
"""

import contextlib
import errno
import fcntl
import grp
import os
import socket
import stat
from pathlib import Path

SOCKET_MODE = 0o660
BACKLOG = 128
PROBE_TIMEOUT_S = 1.0


class SocketUnusable(Exception):
    """The socket can't be made; the message is one line that says what to do."""


class AlreadyRunning(SocketUnusable):
    """Another daemon answers on this socket."""


class Endpoint:
    """The file at `path`. Closing twice, or before opening, is fine."""

    def __init__(self, path: Path, group: str | None) -> None:
        self._path = path
        self._group = group
        self._lock_fd: int | None = None

    def open(self) -> socket.socket:
        """A socket that listens.

        Raises:
            AlreadyRunning: a live daemon has it.
            SocketUnusable: the folder, the file or the group can't be used.
        """
        try:
            self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            self._lock()
            self._remove_stale()
            return self._listen()
        except OSError as error:
            self._unlock()
            raise self._unusable(
                f"{error.strerror or error}; set control.socket to a path this user can make"
            ) from None
        except SocketUnusable:
            self._unlock()
            raise

    def close(self) -> None:
        """Remove the file and let go of the lock."""
        if self._lock_fd is not None:
            self._path.unlink(missing_ok=True)
            self._unlock()

    def _lock(self) -> None:
        lock_path = self._path.with_name(f"{self._path.name}.lock")
        self._lock_fd = os.open(lock_path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self._already_running() from None

    def _unlock(self) -> None:
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def _remove_stale(self) -> None:
        """Take away the socket of a dead daemon, and nothing else."""
        try:
            mode = self._path.lstat().st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(mode):
            raise self._unusable("a file that is no socket is there; move it away")
        if _is_answered(self._path):
            raise self._already_running()
        self._path.unlink()

    def _listen(self) -> socket.socket:
        gid = self._gid()
        with contextlib.ExitStack() as undo:
            listener = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            listener.bind(str(self._path))
            undo.callback(self._path.unlink, missing_ok=True)
            # Nobody gets in before `listen`, so the rights are in place before the first client.
            self._path.chmod(SOCKET_MODE)
            os.chown(self._path, -1, gid)
            listener.listen(BACKLOG)
            undo.pop_all()
        return listener

    def _gid(self) -> int:
        """The group the socket is given to; -1 leaves the daemon's own."""
        if self._group is None:
            return -1
        try:
            return grp.getgrnam(self._group).gr_gid
        except KeyError:
            raise self._unusable(
                f"there is no group {self._group!r}; make it with: groupadd --system {self._group}"
            ) from None

    def _unusable(self, why: str) -> SocketUnusable:
        return SocketUnusable(f"control socket {self._path}: {why}")

    def _already_running(self) -> AlreadyRunning:
        return AlreadyRunning(
            f"control socket {self._path}: another shippyard daemon has it; "
            "stop that one, or set control.socket to another path"
        )


def _is_answered(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_TIMEOUT_S)
        try:
            probe.connect(str(path))
        except OSError as error:
            # A full queue or a forbidden file still has an owner; only a refusal says it is dead.
            return error.errno not in (errno.ECONNREFUSED, errno.ENOENT)
    return True
