"""Owns a line between a client and a server that counts what is sent, and can be cut."""

import contextlib
import socket
import threading

CHUNK_BYTES = 64 * 1024
BACKLOG = 64


class Wire:
    """Passes TCP connections on to a port of this machine; every one of them is ours to cut."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._left: int | None = None
        self.sent_bytes = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def is_cut(self) -> bool:
        """Whether nothing goes through now."""
        return self._left == 0

    def cut_after(self, sent_bytes: int) -> None:
        """Once so much more was sent, every connection breaks, and new ones break at once."""
        with self._lock:
            self._left = sent_bytes

    def mend(self) -> None:
        """Let everything through again."""
        with self._lock:
            self._left = None

    def close(self) -> None:
        """End the line."""
        self._listener.close()
        self._break()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                ours, _ = self._listener.accept()
                threading.Thread(target=self._join, args=(ours,), daemon=True).start()

    def _join(self, ours: socket.socket) -> None:
        if self.is_cut:
            ours.close()
            return
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self._target), timeout=10) as theirs,
        ):
            theirs.settimeout(None)
            with self._lock:
                self._open |= {ours, theirs}
            back = threading.Thread(target=self._pass, args=(theirs, ours), daemon=True)
            back.start()
            self._pass(ours, theirs, counted=True)
            back.join()
        with self._lock:
            self._open -= {ours}
        ours.close()

    def _pass(self, source: socket.socket, sink: socket.socket, *, counted: bool = False) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK_BYTES):
                if counted and not self._may_pass(len(data)):
                    self._break()
                    return
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _may_pass(self, size_bytes: int) -> bool:
        with self._lock:
            if self._left is not None and self._left < size_bytes:
                self._left = 0
                return False
            if self._left is not None:
                self._left -= size_bytes
            self.sent_bytes += size_bytes
            return True

    def _break(self) -> None:
        with self._lock:
            broken, self._open = self._open, set()
        for each in broken:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
