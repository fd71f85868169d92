"""Owns receivers on loopback that stand for on-call's tools, and their bad days.

A door takes posts, a mailbox takes mail; both keep what they took, and when. What a message means
is for its reader to say.
"""

import contextlib
import gzip
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from proofs.paging.arrivals import (
    Reader,
    Told,
    read_alertmanager,
    read_mail,
    read_nothing,
    read_pagerduty,
    read_slack,
    read_webhook,
)
from proofs.rig import Document, free_port
from proofs.waiting import until

SLOW_S = 2.0
RETRY_AFTER_S = 2
BODY_MAX_BYTES = 1024 * 1024
GARBAGE = b"\x16\x03\x01 no such protocol\r\n\r\n" * 8


class Mood(StrEnum):
    """What a receiver does with who comes. Only in the first two it takes anything."""

    WELL = "well"
    SLOW = "slow"
    DOWN = "down"
    BUSY = "429"
    BROKEN = "500"
    RESET = "reset"
    GARBAGE = "garbage"


REFUSALS: Mapping[Mood, tuple[int, Mapping[str, str]]] = {
    Mood.BUSY: (429, {"Retry-After": str(RETRY_AFTER_S)}),
    Mood.BROKEN: (500, {}),
}


@dataclass(frozen=True)
class Arrival:
    """One message that was taken. `at` is monotonic seconds, `wall` those since 1970."""

    at: float
    wall: float
    told: Told


@dataclass
class Kept:
    """What a receiver took, in order; `heads` are the headers of `bodies`."""

    reads: Reader
    arrived: list[Arrival] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)

    def take(self, head: str, body: bytes) -> None:
        """Keep one message."""
        now, wall = time.monotonic(), time.time()
        self.heads.append(head)
        self.bodies.append(body.decode(errors="replace"))
        self.arrived.extend(Arrival(now, wall, told) for told in self.reads(body))

    def of(self, rule: str, event: str, since: float = 0.0) -> list[Arrival]:
        """What tells of `event` of `rule`, from `since` on.

        An end may name its incident alone: then it is one of those that `rule` began.
        """
        begun = {each.told.incident for each in self.arrived if each.told.rule == rule}
        return [
            each
            for each in self.arrived
            if each.at >= since and each.told.event == event and each.told.incident in begun
        ]

    def wait_for(self, rule: str, event: str, since: float, timeout_s: float) -> Arrival:
        """The first such; `Late` when none came in time."""
        return until(lambda: self.of(rule, event, since), timeout_s, f"{event} of {rule}")[0]


class Door:
    """A receiver of posts. It stays at its port, whatever its mood."""

    def __init__(self, reads: Reader) -> None:
        self.kept = Kept(reads)
        self.mood = Mood.WELL
        self.port = free_port()
        self._server: _Server | None = None
        self._open()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def turn(self, mood: Mood) -> None:
        """From now on be like this."""
        self.mood = mood
        if mood is Mood.DOWN:
            self.close()
        elif self._server is None:
            self._open()

    def close(self) -> None:
        """Stop listening; safe to call twice."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _open(self) -> None:
        server = self._server = _Server(("127.0.0.1", self.port), _Handler)
        server.door = self
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    door: Door

    def shutdown_request(self, request: Any) -> None:
        """End a connection: in order, or as a firewall does."""
        if self.door.mood is Mood.RESET:
            request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_request(request)
        else:
            super().shutdown_request(request)

    def handle_error(self, *_: Any) -> None:
        """A daemon that is killed leaves in the middle of a word."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        door = self.server.door
        body = self.rfile.read(min(int(self.headers.get("Content-Length", 0)), BODY_MAX_BYTES))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        mood = door.mood
        if mood is Mood.RESET:
            self.close_connection = True
        elif mood is Mood.GARBAGE:
            self.wfile.write(GARBAGE)
            self.close_connection = True
        elif mood in REFUSALS:
            self._answer(*REFUSALS[mood])
        else:
            self._take(door, body, SLOW_S if mood is Mood.SLOW else 0.0)

    def _take(self, door: Door, body: bytes, wait_s: float) -> None:
        """Taken before it is answered, as a receiver does that is careful."""
        door.kept.take(str(self.headers), body)
        if wait_s:
            time.sleep(wait_s)
        self._answer(200, {"Content-Type": "application/json"}, b"{}")

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the library's name
        """What arrived is kept; more is not said."""


class Mailbox:
    """A real SMTP server for one address."""

    def __init__(self) -> None:
        self.kept = Kept(read_mail)
        self.port = free_port()
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self._controller.start()

    async def handle_DATA(  # noqa: N802  the library's name
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        """Take one mail."""
        content = envelope.content or b""
        self.kept.take("", content if isinstance(content, bytes) else content.encode())
        return "250 taken"

    def close(self) -> None:
        """Stop listening."""
        self._controller.stop()


@dataclass(frozen=True)
class Desk:
    """All of on-call's tools. `alerts` is where an Alertmanager posts to."""

    hook: Door
    duty: Door
    chat: Door
    alerts: Door
    mail: Mailbox

    @property
    def channels(self) -> Mapping[str, Kept]:
        """What each tool took."""
        return {
            "Alertmanager": self.alerts.kept,
            "PagerDuty": self.duty.kept,
            "Slack": self.chat.kept,
            "SMTP": self.mail.kept,
            "webhook": self.hook.kept,
        }

    def routes(self, alertmanager: str | None = None) -> list[Document]:
        """The daemon's routes to them; the credentials that they name are those of `secrets`."""
        mail = {
            "host": "127.0.0.1",
            "port": self.mail.port,
            "encryption": "none",
            "sender": "shippyard@example.org",
            "recipients": ["oncall@example.org"],
        }
        routes: list[Document] = [
            hook_route(),
            duty_route(self.duty),
            {"name": "chat", "kind": "slack", "url_credential": "slack-url"},
            {"name": "mail", "kind": "email", "mail": mail},
        ]
        if alertmanager:
            routes.append({"name": "am", "kind": "alertmanager", "url": alertmanager})
        return routes

    def secrets(self) -> Mapping[str, str]:
        """Credentials by name: nobody knows them but the daemon, and whom they are for."""
        return {
            "hook-url": f"{self.hook.url}/hooks/TOKEN-of-the-hook-4f1c",
            "hook-key": "KEY-that-signs-the-hook-77aa",
            "duty-key": "KEY0of0PagerDuty0c0ffee0123456789",
            "slack-url": f"{self.chat.url}/services/T0/B0/TOKEN-of-the-chat-91d2",
        }


@contextlib.contextmanager
def desk() -> Iterator[Desk]:
    """On-call's tools for the length of a block."""
    with contextlib.ExitStack() as undo:
        mail = Mailbox()
        undo.callback(mail.close)
        yield Desk(
            hook=_kept_open(undo, read_webhook),
            duty=_kept_open(undo, read_pagerduty),
            chat=_kept_open(undo, read_slack),
            alerts=_kept_open(undo, read_alertmanager),
            mail=mail,
        )


@contextlib.contextmanager
def door(reads: Reader = read_nothing) -> Iterator[Door]:
    """One receiver for the length of a block."""
    with contextlib.ExitStack() as undo:
        yield _kept_open(undo, reads)


def _kept_open(undo: contextlib.ExitStack, reads: Reader) -> Door:
    made = Door(reads)
    undo.callback(made.close)
    return made


def hook_route() -> Document:
    """The route to a webhook whose address is a secret; signed."""
    given = {"url_credential": "hook-url", "key_credential": "hook-key"}
    return {"name": "hook", "kind": "webhook", **given}


def duty_route(door: Door) -> Document:
    """The route to what stands for PagerDuty."""
    return {"name": "duty", "kind": "pagerduty", "url": door.url, "key_credential": "duty-key"}


def incidents_of(kept: Kept, event: str) -> Sequence[str]:
    """The incidents that `event` was told of, in order."""
    return [each.told.incident for each in kept.arrived if each.told.event == event]
