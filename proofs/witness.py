"""Owns the witnesses of what the daemon tells others: a pager, and who systemd would be.

They keep what arrives and when; they never answer for the daemon.
"""

import contextlib
import itertools
import json
import socket
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from proofs.waiting import Late


@dataclass(frozen=True)
class Page:
    """One message that reached the pager, and when by the monotonic clock."""

    at: float
    event: str
    incident: dict[str, Any]


class Pager:
    """A webhook receiver that keeps what arrives."""

    def __init__(self) -> None:
        self._arrived = threading.Condition()
        self.pages: list[Page] = []
        pager = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                at = time.monotonic()
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(204)
                self.end_headers()
                pager.keep(Page(at, body["event"], body["incident"]))

            def log_message(self, *_: Any) -> None:
                """What arrived is kept, not logged."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/page"
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()

    def keep(self, page: Page) -> None:
        """One more message."""
        with self._arrived:
            self.pages.append(page)
            self._arrived.notify_all()

    def of(self, rule: str, event: str, since: float) -> list[Page]:
        """What arrived of one rule and event from `since` on."""
        return [
            page
            for page in self.pages
            if page.at >= since and (page.incident["rule"], page.event) == (rule, event)
        ]

    def wait_for(self, rule: str, event: str, since: float, timeout_s: float) -> Page:
        """The first such message; `Late` when none came in time."""
        deadline = time.monotonic() + timeout_s
        with self._arrived:
            while not (found := self.of(rule, event, since)):
                if not self._arrived.wait(max(0.0, deadline - time.monotonic())):
                    raise Late(f"no {event} of {rule}: not within {timeout_s:g} s")
        return found[0]

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class ServiceManager:
    """Stands for systemd: the socket that a unit with Type=notify and WatchdogSec= reports to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.messages: list[tuple[float, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        threading.Thread(target=self._listen, daemon=True).start()

    def times_of(self, word: str, since: float = 0.0) -> list[float]:
        """When messages with the line `word` came, from `since` on."""
        return [at for at, text in self.messages if at >= since and word in text.split("\n")]

    def longest_silence_s(self, begun: float, ended: float) -> float:
        """The longest time without proof of life between two moments."""
        fed = [at for at in self.times_of("WATCHDOG=1", begun) if at <= ended]
        times = [begun, *fed, ended]
        return max(later - earlier for earlier, later in itertools.pairwise(times))

    def close(self) -> None:
        """Stop listening."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while text := self._socket.recv(4096):
                self.messages.append((time.monotonic(), text.decode()))
