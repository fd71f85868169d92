"""Owns a webhook receiver on loopback that stands for on-call's pager.

It keeps what arrives, and when; what a page means is not its business.
"""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MAX_BODY_BYTES = 1024 * 1024
MAX_KEPT = 1000


@dataclass(frozen=True)
class Page:
    """One message as it arrived; `at` is monotonic seconds."""

    at: float
    event: str
    incident: dict[str, Any]


class Receiver:
    """Listens from the moment it is made until `close`."""

    def __init__(self) -> None:
        self._arrived = threading.Condition()
        self._pages: list[Page] = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.deliver = self._keep
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()

    @property
    def url(self) -> str:
        """Where to send pages."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/page"

    def of(self, rule: str, event: str, since: float) -> list[Page]:
        """Pages of `rule` and `event` that arrived from `since` on."""
        return [
            page
            for page in self._pages
            if page.at >= since and (page.incident.get("rule"), page.event) == (rule, event)
        ]

    def wait_for(self, rule: str, event: str, since: float, timeout_s: float) -> Page | None:
        """The first such page; None when none came in time."""
        deadline = time.monotonic() + timeout_s
        with self._arrived:
            while not (found := self.of(rule, event, since)):
                if not self._arrived.wait(max(0.0, deadline - time.monotonic())):
                    return None
        return found[0]

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def _keep(self, body: bytes) -> None:
        message = json.loads(body)
        page = Page(time.monotonic(), message["event"], message["incident"])
        with self._arrived:
            self._pages = [*self._pages[-MAX_KEPT:], page]
            self._arrived.notify_all()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    deliver: Callable[[bytes], None]


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        length = min(int(self.headers.get("Content-Length", 0)), MAX_BODY_BYTES)
        self.server.deliver(self.rfile.read(length))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the library's name
        """The tour says what arrived."""
