"""Owns that a sandbox can't eat the machine: it is ended before its disk is used up."""

import contextlib
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

from shippyard.host.clock import Clock

PAUSE_S = 1.0
COST_MAX_RATIO = 0.05
"""Looking takes at most this part of the time."""
FREE_MIN_RATIO = 0.03
"""Of a disk that is fuller than this, production on it may be next."""


def size_of(folder: Path) -> int:
    """Bytes on disk of all files below; what goes away meanwhile counts nothing."""
    total, ahead = 0, [str(folder)]
    while ahead:
        with contextlib.suppress(OSError), os.scandir(ahead.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        ahead.append(entry.path)
    return total


class Budget:
    """Watches a folder from a thread of its own; calls `on_over` once, with why."""

    def __init__(
        self, folder: Path, limit_bytes: int | None, clock: Clock, on_over: Callable[[], None]
    ) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._clock = clock
        self._on_over = on_over
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="sandbox budget", daemon=True)
        self.over: str | None = None

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; safe twice."""
        self._stop.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(PAUSE_S)

    def look(self) -> str | None:
        """Why the sandbox takes too much, or None."""
        if self._limit_bytes is not None and (size := size_of(self._folder)) > self._limit_bytes:
            return (
                f"it took {size} bytes of disk, more than backup.sandbox.disk_budget_bytes "
                f"({self._limit_bytes}); raise that, or give backup.sandbox.dir a larger disk"
            )
        disk = shutil.disk_usage(self._folder)
        if disk.free < disk.total * FREE_MIN_RATIO:
            return (
                f"only {disk.free} bytes are free on its disk; "
                "free some, or give backup.sandbox.dir another disk"
            )
        return None

    def _watch(self) -> None:
        pause_s = PAUSE_S
        while not self._stop.wait(pause_s):
            begun = self._clock.monotonic()
            with contextlib.suppress(OSError):
                self.over = self.look()
            if self.over:
                self._on_over()
                return
            pause_s = max(PAUSE_S, (self._clock.monotonic() - begun) / COST_MAX_RATIO)
