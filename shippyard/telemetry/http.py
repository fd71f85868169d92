"""Owns the HTTP listener: `/metrics`, `/healthz`, `/readyz`, and 404 for everything else.

Threaded, so that one slow reader never delays a scrape, and bounded, so that many can't take all
the memory; answers come from memory. Connections are kept, as Prometheus likes it. It is told what
is true by callables and decides nothing itself.
"""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ThreadingMixIn
from typing import Any

from shippyard.telemetry.formats import Wanted, wanted

IDLE_TIMEOUT_S = 20
"""A reader that asks nothing for so long is let go; Prometheus asks each 15 s."""
REQUESTS_MAX = 32
"""So many readers are served at once; one more is turned away."""
POLL_S = 0.5
"""So long a stop may take; each look costs a little."""

BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 18\r\nConnection: close\r\n\r\n"
    b"too many requests\n"
)

Problems = Callable[[], list[str]]
"""What is wrong now, one line each; empty when all is well."""

Render = Callable[[Wanted], bytes]
"""Gives the metrics in the form that is wanted."""


class HttpServer:
    """Serves until stopped; stopping twice, or before starting, is fine.

    `host` is an IPv4 address or a name for one, or an IPv6 address without brackets.
    """

    def __init__(
        self, host: str, port: int, *, render: Render, alive: Problems, ready: Problems
    ) -> None:
        pages = {"/metrics": _metrics(render), "/healthz": _state(alive), "/readyz": _state(ready)}
        kind = _Server6 if ":" in host else _Server
        self._server = kind((host, port), pages)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(POLL_S,), name="http", daemon=True
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
        """Close the listener and what readers keep open; answers in flight are dropped."""
        if self._started:
            self._server.shutdown()
            self._thread.join(5)
            self._started = False
        self._server.server_close()


Headers = Mapping[str, str]
Answer = tuple[int, dict[str, str], bytes]
"""Status, headers and body."""
Page = Callable[[Headers], Answer]


def _metrics(render: Render) -> Page:
    def page(headers: Headers) -> Answer:
        asked = wanted(headers)
        said = {"Content-Type": asked.format.value, "Vary": "Accept, Accept-Encoding"}
        if asked.zipped:
            said["Content-Encoding"] = "gzip"
        return 200, said, render(asked)

    return page


def _state(problems: Problems) -> Page:
    def page(_: Headers) -> Answer:
        found = problems()
        body = json.dumps({"ok": not found, "problems": found}) + "\n"
        return 503 if found else 200, {"Content-Type": "application/json"}, body.encode()

    return page


class _Server(ThreadingMixIn, HTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], pages: Mapping[str, Page]) -> None:
        self.pages = pages
        self._places = threading.BoundedSemaphore(REQUESTS_MAX)
        self._open: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve in a thread, or turn away at once when all places are taken."""
        if not self._places.acquire(blocking=False):
            self._turn_away(request)
            return
        self._open.add(request)
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread could be started
            self._leave(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """What the thread does; it gives its place back."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._leave(request)

    def server_close(self) -> None:
        """Nobody is kept waiting for a listener that is gone."""
        super().server_close()
        for request in list(self._open):
            with contextlib.suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)

    def _leave(self, request: socket.socket) -> None:
        self._open.discard(request)
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

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader that went away is its own problem."""


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(BaseHTTPRequestHandler):
    # One buffered write and no Nagle delay: 44 ms a scrape become 0.15 ms.
    wbufsize = -1
    disable_nagle_algorithm = True
    timeout = IDLE_TIMEOUT_S
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        """A page, or 404 with what there is."""
        page = self.server.pages.get(self.path.partition("?")[0])
        if page is None:
            known = " ".join(self.server.pages) + "\n"
            self._answer(404, {"Content-Type": "text/plain"}, known.encode())
        else:
            self._answer(*page({key.lower(): value for key, value in self.headers.items()}))

    do_HEAD = do_GET  # noqa: N815  the library goes by these names

    def do_POST(self) -> None:
        """Nothing is taken; what was sent is not read, so the connection ends."""
        self.close_connection = True
        self._answer(405, {"Content-Type": "text/plain", "Allow": "GET, HEAD"}, b"only GET\n")

    do_PUT = do_PATCH = do_DELETE = do_POST  # noqa: N815

    def version_string(self) -> str:
        """Which Python runs is nobody's business."""
        return "shippyard"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the library's name
        """Scrapes are not logged."""

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
