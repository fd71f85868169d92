"""Owns having a program run by systemd as a user of its own: one connection, one program.

Sends one frame and listens. The connection is the program's hold on life: whoever runs it stops it
and rolls back once our end is closed, by us or by our death. Nothing falls back to a plain child
when the socket is not there: a run must not get more rights because something is broken.
"""

import contextlib
import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from shippyard.host.clock import SystemClock
from shippyard.host.process import Processes
from shippyard.migration.launch import (
    LAST_WORDS_S,
    SEND_TIMEOUT_S,
    ChildLauncher,
    Launcher,
    LaunchFailed,
    Work,
    whole_lines,
)
from shippyard.migration.launch_frame import FrameUnusable, Header, packed
from shippyard.migration.launch_relay import Door, door_to, uid_behind

CONNECT_TIMEOUT_S = 5.0
BEGIN_TIMEOUT_S = 60.0
PIECE_BYTES = 64 * 1024
UNIT = "shippyard-runner.socket"
LOOK = "look at `journalctl -u 'shippyard-runner@*'`"


class SocketLauncher:
    """Programs run by whoever answers on `path`. Safe from any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def launch(self, work: Work) -> Iterator["FarProgram"]:
        """Send the work, and wait until it was taken.

        Raises:
            LaunchFailed: the socket is not there, is not systemd's, or did not take it.
        """
        conninfo = json.loads(work.spec).get("conninfo", {})
        with self._connected() as link, door_to(conninfo) as door:
            try:
                frame = list(packed(_through(door, work)))
            except (OSError, FrameUnusable) as error:
                raise LaunchFailed(f"the plan's files can't be sent: {error}") from None
            program = self._begun(link, frame)
            if door:
                door.let_in(program.uid)
            yield program

    def ask(self, paths: Mapping[str, str]) -> Mapping[str, Any]:
        """Who it runs as (`uid`), and which of `paths` can be opened from there (`reached`).

        Raises:
            LaunchFailed: it gave no answer.
        """
        with self._connected() as link:
            program = self._begun(link, [Header("who", {"paths": dict(paths)}).pack()])
            for line in program.lines(BEGIN_TIMEOUT_S):
                answer = said_in(line)
                if "uid" in answer:
                    return answer
        raise LaunchFailed(f"the runner at {self._path} does not say who it is; {LOOK}")

    @contextmanager
    def _connected(self) -> Iterator[socket.socket]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(CONNECT_TIMEOUT_S)
            try:
                link.connect(str(self._path))
            except OSError as error:
                raise LaunchFailed(_unreached(self._path, error)) from None
            # A password goes through it: not to somebody who got hold of the name.
            uid = uid_behind(link)
            if uid not in {0, os.geteuid()}:
                raise LaunchFailed(
                    f"{self._path} is held by user {uid}, not by systemd; remove it and "
                    f"`systemctl restart {UNIT}`"
                )
            yield link

    def _begun(self, link: socket.socket, frame: list[bytes]) -> "FarProgram":
        program = FarProgram(link)
        try:
            link.settimeout(SEND_TIMEOUT_S)
            for piece in frame:
                link.sendall(piece)
            program.wait_until_taken()
        except OSError as error:
            said = program.refusal or f"{error or type(error).__name__}; {LOOK}"
            raise LaunchFailed(f"the runner at {self._path} took nothing: {said}") from None
        return program


class FarProgram:
    """A program at the other end of a connection."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._lines = whole_lines(self._received())
        self._clock = SystemClock()
        self._ends = self._clock.monotonic() + BEGIN_TIMEOUT_S
        self._listening = self._late = False
        self._reason = f"its connection broke; {LOOK}"
        self.refusal = ""
        self.uid = -1

    def wait_until_taken(self) -> None:
        """Return once the other end has all of it.

        Raises:
            OSError: it never will.
        """
        word = said_in(next(self._lines, b""))
        if word.get("guardian") != "taken":
            self.refusal = str(word.get("reason", ""))
            raise ConnectionError("it closed the connection; perhaps too many run at once")
        self.uid = int(word["uid"])

    def lines(self, timeout_s: float) -> Iterator[bytes]:
        """What the program says until it ends; at the deadline it is told to stop."""
        self._ends = self._clock.monotonic() + timeout_s
        self._listening = True
        for line in self._lines:
            word = said_in(line) if line.startswith(b'{"guardian"') else {}
            if word:
                self._reason = str(word.get("reason", self._reason))
            else:
                yield line
        if self._late:
            self._reason = f"ended after {timeout_s:g} s"

    def interrupt(self) -> None:
        """Close our half: the other end takes that as SIGTERM."""
        with contextlib.suppress(OSError):
            self._link.shutdown(socket.SHUT_WR)

    def reason(self) -> str:
        """What the other end said of how it ended."""
        return self._reason

    def _received(self) -> Iterator[bytes]:
        """Pieces until the other end closes, or the deadline and a little more has passed."""
        while piece := self._piece():
            yield piece

    def _piece(self) -> bytes:
        try:
            return self._receive()
        except OSError as error:
            if not self._listening:
                raise
            if self._late or not isinstance(error, TimeoutError):
                return b""
        self._late = True
        self.interrupt()
        self._ends = self._clock.monotonic() + LAST_WORDS_S
        return self._piece()

    def _receive(self) -> bytes:
        self._link.settimeout(max(0.001, self._ends - self._clock.monotonic()))
        return self._link.recv(PIECE_BYTES)


def launcher_of(runner_socket: Path | None, processes: Processes) -> Launcher:
    """The socket's where one is configured, else a plain child."""
    return SocketLauncher(runner_socket) if runner_socket else ChildLauncher(processes)


def _through(door: Door | None, work: Work) -> Work:
    """The same work, its server reached through the door."""
    if door is None:
        return work
    spec = json.loads(work.spec)
    spec["conninfo"]["host"] = door.host
    return replace(work, spec=json.dumps(spec).encode())


def said_in(line: bytes) -> dict[str, Any]:
    """One JSON object; nothing where it is none."""
    try:
        document = json.loads(line)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def read_exactly(receive: Callable[[int], bytes]) -> Callable[[int], bytes]:
    """A reader of exactly as many bytes as asked for, over one that may give fewer.

    Raises:
        EOFError: the other end closed before.
    """

    def read(size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            piece = receive(min(PIECE_BYTES, size - len(data)))
            if not piece:
                raise EOFError("the connection was closed in the middle of it")
            data += piece
        return bytes(data)

    return read


def _unreached(path: Path, error: OSError) -> str:
    reason = error.strerror or type(error).__name__
    return f"no runner answers at {path} ({reason}); `systemctl enable --now {UNIT}`"
