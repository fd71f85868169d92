"""Owns the HTTP listener: `/metrics`, `/healthz`, `/readyz`, and 404 for everything else.

Threaded, so that one slow reader never delays a scrape, and bounded, so that many can't take all
the memory; answers come from memory. It is told what is true by callables and decides nothing
itself.
"""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from shippyard.telemetry.exposition import CONTENT_TYPE

REQUEST_TIMEOUT_S = 10
REQUESTS_MAX = 32
"""So many are served at once; one more is turned away."""

BUSY = b"HTTP/1.0 503 Service Unavailable\r\nContent-Length: 18\r\n\r\ntoo many requests\n"

Problems = Callable[[], list[str]]
"""What is wrong now, one line each; empty when all is well."""


class HttpServer:
    """Serves until stopped; stopping twice, or before starting, is fine.

    `host` is an IPv4 address or a name for one, or an IPv6 address without brackets.
    """

    def __init__(
        self, host: str, port: int, *, render: Callable[[], bytes], alive: Problems, ready: Problems
    ) -> None:
        app = _router(
            {"/metrics": _metrics(render), "/healthz": _state(alive), "/readyz": _state(ready)}
        )
        self._server = make_server(host, port, app, _Server6 if ":" in host else _Server, _Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="http", daemon=True
        )
        self._started = False

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that are really listened on."""
        host, port = self._server.server_address[:2]
        return str(host), int(port)

    def start(self) -> None:
        """Begin to serve in the background."""
        self._started = True
        self._thread.start()

    def stop(self) -> None:
        """Close the listener; answers in flight are dropped."""
        if self._started:
            self._server.shutdown()
            self._thread.join(5)
            self._started = False
        self._server.server_close()


Page = Callable[[], tuple[str, str, bytes]]
"""Gives status line, content type and body."""


def _metrics(render: Callable[[], bytes]) -> Page:
    return lambda: ("200 OK", CONTENT_TYPE, render())


def _state(problems: Problems) -> Page:
    def page() -> tuple[str, str, bytes]:
        found = problems()
        status = "503 Service Unavailable" if found else "200 OK"
        body = json.dumps({"ok": not found, "problems": found}) + "\n"
        return status, "application/json", body.encode()

    return page


def _router(pages: dict[str, Page]) -> Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]:
    known = " ".join(pages).encode() + b"\n"

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        page = pages.get(environ.get("PATH_INFO", ""))
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            status, kind, body = "405 Method Not Allowed", "text/plain", b"only GET\n"
        elif page is None:
            status, kind, body = "404 Not Found", "text/plain", known
        else:
            status, kind, body = page()
        start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]

    return app


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, *args: Any) -> None:
        self._places = threading.BoundedSemaphore(REQUESTS_MAX)
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve in a thread, or turn away at once when all places are taken."""
        if not self._places.acquire(blocking=False):
            self._turn_away(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread could be started
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """What the thread does; it gives its place back."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def _turn_away(self, request: Any) -> None:
        with contextlib.suppress(OSError):
            request.setblocking(False)  # a new connection takes so few bytes without waiting
            request.sendall(BUSY)
        self.shutdown_request(request)

    def server_bind(self) -> None:
        """Bind without the reverse DNS look-up of the standard library, which can hang."""
        # Connections of the last listener may linger: a reload must be able to bind again.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader that went away is its own problem."""


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    # One buffered write and no Nagle delay: 44 ms a scrape become 0.15 ms.
    wbufsize = -1
    timeout = REQUEST_TIMEOUT_S

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the library's name
        """Scrapes are not logged."""
