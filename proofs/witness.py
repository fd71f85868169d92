"""Owns the witnesses of what the daemon tells others: a pager, and who systemd would be.

They keep what arrives and when; they never answer for the daemon.
"""

import contextlib
import itertools
import socket
import threading
import time
from pathlib import Path

from proofs.waiting import Late
from shippyard.setup.receiver import Page, Receiver


class Pager(Receiver):
    """The demo's receiver, for which being late is a row that falls short."""

    def wait_for(self, rule: str, event: str, since: float, timeout_s: float) -> Page:
        """The first such message; `Late` when none came in time."""
        page = super().wait_for(rule, event, since, timeout_s)
        if page is None:
            raise Late(f"no {event} of {rule}: not within {timeout_s:g} s")
        return page


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
