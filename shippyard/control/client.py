"""Owns asking the daemon: connect, one request, its frames, its end. Decides nothing.

Leaving in the middle (Ctrl-C) detaches; the daemon works on.
"""

import contextlib
import grp
import socket
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from shippyard.control.codec import (
    Decoder,
    Failure,
    Frame,
    FrameError,
    Item,
    Progress,
    Request,
    Result,
    encode_request,
    frame_decoder,
)
from shippyard.control.method import Document, ErrorCode
from shippyard.host.clock import Clock, SystemClock

CONNECT_TIMEOUT_S = 5.0
RECEIVE_BYTES = 64 * 1024
REQUEST_ID = "1"  # a connection carries one request

OnFields = Callable[[Document], None]


class DaemonUnreachable(Exception):
    """No daemon answers, or it stopped answering; the message says what to type."""


class NotPermitted(Exception):
    """This user may not open the socket; the message says which group may."""


class CallFailed(Exception):
    """The daemon's own refusal: one line, the code that decides the exit status, details."""

    def __init__(self, code: ErrorCode, message: str, detail: Document | None = None) -> None:
        super().__init__(message)
        self.code: ErrorCode = code
        self.message = message
        self.detail: Document = detail or {}


class Client:
    """Asks the daemon that listens at `socket_path`; each call has a connection of its own."""

    def __init__(self, socket_path: Path, clock: Clock | None = None) -> None:
        self._path = socket_path
        self._clock = clock or SystemClock()

    def call(
        self,
        method: str,
        params: Document | None = None,
        *,
        on_progress: OnFields | None = None,
        on_item: OnFields | None = None,
        timeout_s: float | None = None,
    ) -> Document:
        """The result of `method`. Without `timeout_s` it waits as long as the daemon works.

        Raises:
            DaemonUnreachable: no socket, nobody listens, it went away, or the time is over.
            NotPermitted: the socket may not be opened.
            CallFailed: the daemon refused, or the work failed.
        """
        try:
            line = encode_request(Request(REQUEST_ID, method, params or {}))
        except FrameError as error:
            raise CallFailed("usage", f"the request can't be sent: {error}") from None
        deadline = None if timeout_s is None else self._clock.monotonic() + timeout_s
        with self._connected() as connection:
            # A daemon that hung up meanwhile has said why: that is read below.
            with contextlib.suppress(OSError):
                connection.sendall(line)
            return self._listen(connection, deadline, _Listeners(on_progress, on_item))

    def _connected(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(CONNECT_TIMEOUT_S)
        try:
            connection.connect(str(self._path))
        except OSError as error:
            connection.close()
            self._explain(error)
        return connection

    def _explain(self, error: OSError) -> NoReturn:
        if isinstance(error, PermissionError):
            raise NotPermitted(
                f"you may not open {self._path}; {_who_may(self._path)}, then log in again"
            ) from None
        raise DaemonUnreachable(
            f"no daemon listens at {self._path} ({error.strerror or error}); "
            "see `systemctl status shippyard`, or name its socket with --socket"
        ) from None

    def _listen(
        self, connection: socket.socket, deadline: float | None, listeners: "_Listeners"
    ) -> Document:
        decoder = frame_decoder()
        while True:
            match self._next(connection, decoder, deadline):
                case Result(_, result):
                    return result
                case Failure(_, code, message, detail):
                    raise CallFailed(code, message, detail)
                case Progress() | Item() as frame:
                    listeners.hear(frame)

    def _next(
        self, connection: socket.socket, decoder: Decoder[Frame], deadline: float | None
    ) -> Frame:
        try:
            while (frame := decoder.next()) is None:
                connection.settimeout(self._left_s(deadline))
                decoder.feed(_received(connection))
        except TimeoutError:
            raise DaemonUnreachable(
                f"no answer from the daemon at {self._path} in time; it may still be at work"
            ) from None
        except FrameError:
            raise DaemonUnreachable(
                f"what listens at {self._path} is no shippyard daemon; name one with --socket"
            ) from None
        except OSError:
            raise DaemonUnreachable(
                f"the daemon at {self._path} went away; see `systemctl status shippyard`"
            ) from None
        return frame

    def _left_s(self, deadline: float | None) -> float | None:
        if deadline is None:
            return None
        left_s = deadline - self._clock.monotonic()
        if left_s <= 0:
            raise TimeoutError
        return left_s


class _Listeners:
    """Who wants to hear what comes before the end."""

    def __init__(self, on_progress: OnFields | None, on_item: OnFields | None) -> None:
        self._on_progress = on_progress
        self._on_item = on_item

    def hear(self, frame: Progress | Item) -> None:
        listener = self._on_progress if isinstance(frame, Progress) else self._on_item
        if listener:
            listener(frame.fields)


def _received(connection: socket.socket) -> bytes:
    data = connection.recv(RECEIVE_BYTES)
    if not data:
        raise ConnectionResetError("closed")
    return data


def _who_may(path: Path) -> str:
    """What to ask an administrator for."""
    try:
        group = grp.getgrgid(path.stat().st_gid).gr_name
    except (OSError, KeyError):
        return "ask to be let into its folder"
    return f"ask for `usermod -aG {group} YOU`, which adds you to its group {group!r}"
