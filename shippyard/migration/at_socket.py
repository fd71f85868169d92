"""Owns the runner's side: `python -m shippyard.migration.at_socket`, once for each connection.

systemd starts it as a user without rights, the connection as stdin. It takes one frame, writes the
files to a folder of its own, runs the program as a child and passes its words on. It decides
nothing. When the other end is gone, or asks by closing its half, the child gets SIGTERM, which
makes it roll back; one that does not heed that is killed.
"""

import json
import os
import select
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from shippyard.host.clock import SystemClock
from shippyard.host.process import Processes
from shippyard.host.secrets import remember
from shippyard.migration.launch import (
    MODULES,
    ChildLauncher,
    LaunchedChild,
    LaunchFailed,
    TooMuchSaid,
    Work,
)
from shippyard.migration.launch_frame import FrameUnusable, Header, read_header, unpack
from shippyard.migration.launch_socket import read_exactly

RECEIVE_TIMEOUT_S = 60.0
SEND_TIMEOUT_S = 60.0
ROLLBACK_S = 30.0
LONGEST_S = 7 * 86400.0


def main() -> int:
    """Serve the connection that is stdin; 0 also when it was only tried."""
    link = _claim_stdin()
    try:
        with tempfile.TemporaryDirectory(prefix="run-", ignore_cleanup_errors=True) as folder:
            return _serve(link, Path(folder))
    except (BrokenPipeError, ConnectionResetError, EOFError):
        return 0  # it was hung up; nothing ran, or what ran has been ended
    except (FrameUnusable, LaunchFailed, TimeoutError, OSError) as error:
        _tell(link, {"guardian": "refused", "reason": str(error)})
        sys.stderr.write(f"refused: {error}\n")
        return 1


def _claim_stdin() -> socket.socket:
    """The connection, out of reach of whatever is started from here."""
    link = socket.socket(fileno=os.dup(sys.stdin.fileno()))
    with Path(os.devnull).open("r+b") as nothing:
        os.dup2(nothing.fileno(), sys.stdin.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return link


def _serve(link: socket.socket, folder: Path) -> int:
    read = read_exactly(_receiver(link))
    header = read_header(read)
    if header.program not in MODULES:
        _tell(link, {"guardian": "taken", "uid": os.getuid()})
        _tell(link, _who(header))
        return 0
    spec = unpack(header, read, folder)
    remember(str(header.spec.get("conninfo", {}).get("password", "")))
    _run(link, Work(header.program, folder / "copy", spec))
    return 0


def _receiver(link: socket.socket) -> Any:
    clock = SystemClock()
    ends = clock.monotonic() + RECEIVE_TIMEOUT_S

    def receive(size: int) -> bytes:
        link.settimeout(max(0.001, ends - clock.monotonic()))
        return link.recv(size)

    return receive


def _run(link: socket.socket, work: Work) -> None:
    processes = Processes()
    with ChildLauncher(processes).launch(work) as child:
        signal.signal(signal.SIGTERM, lambda *_: child.interrupt())
        link.settimeout(SEND_TIMEOUT_S)
        _tell(link, {"guardian": "taken", "uid": os.getuid()})
        threading.Thread(
            target=partial(_end_with, link, processes), name="hold", daemon=True
        ).start()
        reason = _relay(link, child)
        sys.stderr.write(child.said_aside())
    _tell(link, {"guardian": "ended", "reason": reason})


def _relay(link: socket.socket, child: LaunchedChild) -> str:
    try:
        for line in child.lines(LONGEST_S):
            # Whoever does not listen any more is seen by the thread that watches.
            with suppress(OSError):
                link.sendall(line + b"\n")
    except TooMuchSaid as error:
        child.interrupt()
        return str(error)
    return child.reason()


def _end_with(link: socket.socket, processes: Processes) -> None:
    """Wait until the other end closes or hangs up, then end the child."""
    waiting = select.poll()
    # Nothing more is ever sent to us, so that anything to read is the end.
    waiting.register(link, select.POLLIN | select.POLLRDHUP | select.POLLHUP)
    waiting.poll()
    processes.end_all(ROLLBACK_S)


def _who(header: Header) -> Mapping[str, Any]:
    """As whom we run, and which of some places can be opened from here."""
    paths = {str(name): str(path) for name, path in dict(header.spec.get("paths", {})).items()}
    reached = [
        name for name, path in paths.items() if os.access(path, os.R_OK) or os.access(path, os.W_OK)
    ]
    return {"uid": os.getuid(), "reached": reached}


def _tell(link: socket.socket, word: Mapping[str, Any]) -> None:
    with suppress(OSError):
        link.sendall(json.dumps(word).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main())
