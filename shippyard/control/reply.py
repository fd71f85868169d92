"""Owns saying one answer to one client without ever waiting long for it.

A client that went away, or reads too slowly, loses frames; the work that speaks is never stopped
and never told. Knows nothing of what is said.
"""

import select
import socket
import threading

import structlog

from shippyard.control.codec import Failure, Frame, FrameError, Item, Progress, Result, encode_frame
from shippyard.control.method import Document
from shippyard.host.clock import Clock

PATIENCE_S = 5.0
"""How long one answer waits for its reader, all items together, and again for its last frame."""

MESSAGE_CHARS = 4000
"""What is left of the message of a failure that was too large; well below a frame's bound."""

logger = structlog.get_logger(__name__)


class Reply:
    """The answer to one request; the `Stream` of a method. Safe to use from any thread."""

    def __init__(
        self,
        connection: socket.socket,
        request_id: str,
        *,
        clock: Clock,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._connection = connection
        self._id = request_id
        self._clock = clock
        self._full_patience_s = patience_s
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._is_over = False
        self._is_lost = False

    @property
    def is_lost(self) -> bool:
        """The client is gone or stuck, and a frame may have been cut: say nothing more to it."""
        return self._is_lost

    def progress(self, fields: Document) -> None:
        """Say how far the work is, if the client has room for it now."""
        with self._lock:
            if self._speaks and _has_room(self._connection):
                self._say(Progress(self._id, fields))

    def item(self, fields: Document) -> None:
        """Say one piece of the answer, waiting a little for the reader."""
        with self._lock:
            if self._speaks:
                self._say(Item(self._id, fields))

    def end(self, last: Result | Failure) -> None:
        """Say the last frame; one that can't be said gives way to an error that can."""
        with self._lock:
            self._patience_s = self._full_patience_s
            if self._speaks and not self._say(last):
                self._say(_instead_of(last))
            self._is_over = True

    @property
    def _speaks(self) -> bool:
        return not (self._is_over or self._is_lost)

    def _say(self, frame: Frame) -> bool:
        """Whether the frame could be said; one the client did not read counts as said."""
        try:
            line = encode_frame(frame)
        except FrameError as error:
            logger.warning("control.frame_dropped", kind=type(frame).__name__, error=str(error))
            return False
        began = self._clock.monotonic()
        try:
            self._connection.settimeout(max(self._patience_s, 0.001))
            self._connection.sendall(line)
        except OSError:
            self._is_lost = True
        self._patience_s -= self._clock.monotonic() - began
        return True


def _has_room(connection: socket.socket) -> bool:
    """Whether the kernel takes a frame at once, which it says while most of its queue is free."""
    poll = select.poll()
    poll.register(connection, select.POLLOUT)
    return bool(poll.poll(0))


def _instead_of(last: Result | Failure) -> Failure:
    """A short error for an end that is too large, or is not JSON; a failure keeps its code."""
    if isinstance(last, Failure):
        return Failure(last.id, last.code, last.message[:MESSAGE_CHARS])
    return Failure(last.id, "failed", "the answer is too large, or is not JSON; ask for less")
