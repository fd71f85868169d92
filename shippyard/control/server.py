"""Owns serving the control socket: a thread for each client, everything within bounds.

Neither garbage nor a client that is slow, gone or one too many harms the daemon or the work of
others. What a request means is `dispatch`'s, who asks is `peers`', the file is `endpoint`'s.
"""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

from shippyard.config.base import Environment
from shippyard.config.models import Control
from shippyard.control.codec import Decoder, Failure, FrameError, Request, request_decoder
from shippyard.control.dispatch import Dispatcher
from shippyard.control.endpoint import Endpoint
from shippyard.control.method import Method, Peer
from shippyard.control.peers import peer_of
from shippyard.control.reply import PATIENCE_S, Reply
from shippyard.host.clock import Clock
from shippyard.telemetry.metrics import Metrics

RECEIVE_BYTES = 64 * 1024

logger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Limits:
    """How long things may take, in seconds.

    `request_s` for a client to send a whole request, `patience_s` for it to read an answer,
    `turn_s` between two turns of the accepting loop, `stop_s` for methods that run at a stop.
    """

    request_s: float = 30.0
    patience_s: float = PATIENCE_S
    turn_s: float = 0.2
    stop_s: float = 2.5


class ControlServer:
    """Serves `methods` from start to stop; stopping twice, or before starting, is fine."""

    def __init__(
        self,
        config: Control,
        methods: Iterable[Method],
        *,
        clock: Clock,
        metrics: Metrics,
        beat: Callable[[], None],
        environment: Environment,
        limits: Limits | None = None,
    ) -> None:
        self._config = config
        self._dispatcher = Dispatcher(methods, clock=clock, metrics=metrics)
        self._clock = clock
        self._beat = beat
        self._own_uid_is_operator = environment != "production"
        self._limits = limits or Limits()
        self._endpoint = Endpoint(config.socket, config.group)
        self._listener: socket.socket | None = None
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._clients: dict[socket.socket, threading.Thread] = {}

    def start(self) -> None:
        """Listen, and serve in the background.

        Raises:
            AlreadyRunning: a live daemon has the socket.
            SocketUnusable: the socket can't be made.
        """
        self._listener = self._endpoint.open()
        self._listener.settimeout(self._limits.turn_s)
        self._thread = threading.Thread(
            target=self._accept, args=(self._listener,), name="control", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Take no more requests; give those that run a moment to end, then leave them."""
        if self._listener is None:  # not started, stopped already, or retired
            self._stopping.set()
            return
        deadline = self._clock.monotonic() + self._limits.stop_s
        self.retire()
        for thread in self._threads():
            thread.join(max(0.0, deadline - self._clock.monotonic()))
        self._hang_up(socket.SHUT_RDWR)

    def retire(self) -> None:
        """Make room for a successor: take no more requests, let those that run be answered."""
        self._stopping.set()
        if self._listener is None:
            return
        self._thread.join(2 * self._limits.turn_s)
        self._listener.close()
        self._listener = None
        self._endpoint.close()
        self._hang_up(socket.SHUT_RD)  # idle clients end at once, running methods may answer

    def _accept(self, listener: socket.socket) -> None:
        while not self._stopping.is_set():
            self._beat()
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError as error:  # out of file descriptors, or stopped
                if not self._stopping.wait(self._limits.turn_s):
                    logger.warning("control.accept_failed", error=str(error))
                continue
            self._welcome(connection)

    def _welcome(self, connection: socket.socket) -> None:
        with self._lock:
            is_room = len(self._clients) < self._config.max_clients
            thread = threading.Thread(
                target=self._serve, args=(connection,), name="control-client", daemon=True
            )
            if is_room:
                self._clients[connection] = thread
        if not is_room:
            self._refuse(connection)
            return
        try:
            thread.start()
        except RuntimeError:  # no more threads to be had
            self._forget(connection)
            self._refuse(connection)

    def _refuse(self, connection: socket.socket) -> None:
        said = f"all {self._config.max_clients} connections are in use; try again later"
        with connection:
            reply = Reply(connection, "", clock=self._clock, patience_s=0.0)
            reply.end(Failure("", "failed", said))

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                self._converse(connection)
        except OSError:
            pass  # the client went away, which is its own affair
        except Exception:
            logger.exception("control.client_failed")
        finally:
            self._forget(connection)

    def _converse(self, connection: socket.socket) -> None:
        """One request after another, until the client has enough or breaks the rules."""
        peer = peer_of(connection, self._config, own_uid_is_operator=self._own_uid_is_operator)
        decoder = request_decoder()
        try:
            while not self._stopping.is_set():
                request = self._read(connection, decoder)
                if request is None or not self._answer(connection, request, peer):
                    return
        except FrameError as error:
            logger.warning("control.bad_request", user=peer.user, error=str(error))
            self._reply(connection, "").end(Failure("", "usage", f"bad request: {error}"))

    def _read(self, connection: socket.socket, decoder: Decoder[Request]) -> Request | None:
        """The next request; None when the client closed, or was idle too long.

        Raises:
            FrameError: garbage, or a request that was begun and not ended.
        """
        deadline = self._clock.monotonic() + self._limits.request_s
        while (request := decoder.next()) is None:
            data = _receive(connection, deadline - self._clock.monotonic())
            if not data and decoder.in_the_middle:
                raise FrameError("the line has no end")
            if not data:
                return None
            decoder.feed(data)
        return request

    def _answer(self, connection: socket.socket, request: Request, peer: Peer) -> bool:
        """Whether the client is still there for another request."""
        reply = self._reply(connection, request.id)
        reply.end(self._dispatcher.answer(request, peer, reply))
        return not reply.is_lost

    def _reply(self, connection: socket.socket, request_id: str) -> Reply:
        return Reply(connection, request_id, clock=self._clock, patience_s=self._limits.patience_s)

    def _threads(self) -> list[threading.Thread]:
        with self._lock:
            return list(self._clients.values())

    def _forget(self, connection: socket.socket) -> None:
        with self._lock:
            self._clients.pop(connection, None)

    def _hang_up(self, how: int) -> None:
        with self._lock:
            for connection in self._clients:
                with contextlib.suppress(OSError):
                    connection.shutdown(how)


def _receive(connection: socket.socket, timeout_s: float) -> bytes:
    """What came; nothing when the client closed or the time is over."""
    if timeout_s <= 0:
        return b""
    connection.settimeout(timeout_s)
    try:
        return connection.recv(RECEIVE_BYTES)
    except TimeoutError:
        return b""
