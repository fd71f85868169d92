"""Owns a door to a server whose socket only we can enter: a sandbox's, for a runner that is not us.

Listens under a name without a file and passes bytes on, both ways. Lets in one user's processes,
as one role, to one database: a sandbox trusts whoever comes, and there the superuser reads files as
the account that runs it. Knows of PostgreSQL's protocol no more than its first message.
"""

import contextlib
import secrets
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

import structlog

VERSION_3 = 196608
CANCEL = 80877102
STARTUP_MAX_BYTES = 10_000
STARTUP_TIMEOUT_S = 10.0
LINKS_MAX = 16
PIECE_BYTES = 64 * 1024
GUEST_TIMEOUT_S = 70.0

_HEAD = struct.Struct(">II")
_CREDENTIALS = struct.Struct("iII")

log = structlog.get_logger(__name__)


class Door:
    """Where a runner reaches the server; `host` is what libpq is told."""

    def __init__(self, conninfo: Mapping[str, Any]) -> None:
        """`conninfo` is how we would connect: a folder as host, role and database."""
        port = conninfo["port"]
        self._server = f"{conninfo['host']}/.s.PGSQL.{port}"
        self._allowed = {"user": str(conninfo["user"]), "database": str(conninfo["dbname"])}
        # With a colon there psycopg takes it for a place and not for a machine's name to look up.
        name = f":shippyard-{secrets.token_hex(16)}"
        self.host = f"@{name}"
        self._guest: int | None = None
        self._known = threading.Event()
        self._seats = threading.BoundedSemaphore(LINKS_MAX)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(f"\0{name}/.s.PGSQL.{port}")
        self._listener.listen(LINKS_MAX)
        threading.Thread(target=self._accept, name="sandbox-door", daemon=True).start()

    def let_in(self, uid: int) -> None:
        """From now on processes of this user."""
        self._guest = uid
        self._known.set()

    def close(self) -> None:
        """Nobody comes in any more, and whoever is in is put out. Safe twice."""
        self._known.set()
        with self._lock:
            links = [self._listener, *self._open]
        for link in links:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        self._known.wait(GUEST_TIMEOUT_S)
        while True:
            try:
                guest, _ = self._listener.accept()
            except OSError:
                return
            if self._seats.acquire(blocking=False):
                threading.Thread(target=self._serve, args=[guest], daemon=True).start()
            else:
                guest.close()

    def _serve(self, guest: socket.socket) -> None:
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with guest, server, self._remembered(guest, server):
                guest.settimeout(STARTUP_TIMEOUT_S)
                first = self._first_of(guest)
                server.connect(self._server)
                server.sendall(first)
                for link in (guest, server):
                    link.settimeout(None)
                back = threading.Thread(target=_pump, args=[server, guest], daemon=True)
                back.start()
                _pump(guest, server)
                back.join()
        except (OSError, ValueError) as error:
            log.warning("migration.door_refused", error=str(error))
        finally:
            self._seats.release()

    def _first_of(self, guest: socket.socket) -> bytes:
        """The first message, when it is one that we let pass.

        Raises:
            ValueError: it is not.
        """
        if self._guest is None or uid_behind(guest) != self._guest:
            raise ValueError("somebody else than the runner")
        head = _exactly(guest, _HEAD.size)
        length, code = _HEAD.unpack(head)
        if not _HEAD.size <= length <= STARTUP_MAX_BYTES:
            raise ValueError("no first message of PostgreSQL's")
        body = _exactly(guest, length - _HEAD.size)
        if code == CANCEL:
            return head + body
        said = _parameters(body)
        if code != VERSION_3 or {name: said.get(name) for name in self._allowed} != self._allowed:
            raise ValueError(f"{said.get('user')!r} for {said.get('database')!r} is not let in")
        if "replication" in said:
            raise ValueError("replication is not let in")
        return head + body

    @contextlib.contextmanager
    def _remembered(self, *links: socket.socket) -> Iterator[None]:
        with self._lock:
            self._open.update(links)
        try:
            yield
        finally:
            with self._lock:
                self._open.difference_update(links)


@contextlib.contextmanager
def door_to(conninfo: Mapping[str, Any]) -> Iterator[Door | None]:
    """A door where a runner needs one: for a socket in a folder that others can't enter."""
    host = str(conninfo.get("host", ""))
    if not host.startswith("/") or not closed_to_others(Path(host)):
        yield None
        return
    door = Door(conninfo)
    try:
        yield door
    finally:
        door.close()


def closed_to_others(folder: Path) -> bool:
    """Whether someone who is neither the owner nor of the group can't enter."""
    return any(not each.stat().st_mode & 0o001 for each in (folder, *folder.parents))


def uid_behind(link: socket.socket) -> int:
    """The user of the process at the other end, by the kernel's word."""
    raw = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    uid: int = _CREDENTIALS.unpack(raw)[1]
    return uid


def _parameters(body: bytes) -> dict[str, str]:
    """Names and values, as the server takes them: up to the first empty name, the last one wins."""
    words = body.decode(errors="replace").split("\0")
    named = takewhile(lambda pair: pair[0], zip(words[::2], words[1::2], strict=False))
    return dict(named)


def _exactly(link: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = link.recv(size - len(data))
        if not piece:
            raise ValueError("hung up")
        data += piece
    return bytes(data)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Pass on until one end closes, then close the other's half."""
    with contextlib.suppress(OSError):
        while piece := source.recv(PIECE_BYTES):
            sink.sendall(piece)
    for link, half in ((sink, socket.SHUT_WR), (source, socket.SHUT_RD)):
        with contextlib.suppress(OSError):
            link.shutdown(half)
