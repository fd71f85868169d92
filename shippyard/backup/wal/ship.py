"""Owns getting WAL off the machine: what is whole at once, what is begun every `wal_ship_s`.

What is off the machine is asked of the store itself, at the start and daily, so nothing has to be
remembered. The archive on disk is the queue: what could not be sent is found again.
"""

import contextlib
import threading
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Protocol

import structlog

from shippyard.backup.compression import compress_file
from shippyard.backup.offsite.objects import OffsiteFailed
from shippyard.backup.wal.archive import WalArchive
from shippyard.backup.wal.names import (
    PARTIAL,
    Segment,
    is_history,
    is_partial,
    is_segment,
    parse_segment,
)
from shippyard.backup.wal.position import Received, newest_in, received
from shippyard.backup.wal.report import Trouble
from shippyard.host.clock import Clock
from shippyard.host.secrets import mask
from shippyard.telemetry.metrics import Metrics

TURN_S = 1.0
JOIN_S = 3.0
RELIST_S = 24 * 3600.0
PAUSE_FIRST_S = 2.0
PAUSE_LONGEST_S = 60.0
AT_ONCE = 64
LEVEL = 3

log = structlog.get_logger(__name__)


class StoredWal(Protocol):
    """The WAL of one cluster off the machine."""

    def names(self) -> Collection[str]:
        """Every name as it is in the store, unfinished ones with `.partial`."""
        ...


class WalStore(Protocol):
    """A place off the machine."""

    def put_wal(self, subject: str, name: str, file: Path) -> None:
        """Keep a file under its name, and read it back; a whole one is never written over.

        Raises:
            OffsiteFailed: it is not kept.
        """
        ...

    def wal_source(self, subject: str) -> StoredWal:
        """What is kept of one cluster."""
        ...


class WalShip:
    """Ships one cluster's WAL until stopped; stopping twice, or before starting, is fine."""

    def __init__(
        self,
        subject: str,
        archive: WalArchive,
        store: WalStore,
        *,
        every_s: float,
        metrics: Metrics,
        clock: Clock,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._subject = subject
        self._archive = archive
        self._store = store
        self._every_s = every_s
        self._metrics = metrics
        self._clock = clock
        self._beat = beat
        self._stop = threading.Event()
        self._shipped: set[str] | None = None
        self._listed_at = float("-inf")
        self._partial_at = float("-inf")
        self._partial: Received | None = None
        self._refused: dict[str, str] = {}
        self._error: str | None = None
        self._pause_s = PAUSE_FIRST_S
        self._thread = threading.Thread(target=self._run, name=f"ship {subject}", daemon=True)

    def start(self) -> None:
        """Begin to ship."""
        self._thread.start()

    def stop(self) -> None:
        """Ship no more; what is being sent is given up with the store, and found again."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(JOIN_S)

    def position(self) -> int | None:
        """How far all WAL is off the machine; None before anything is."""
        kept = self._archive.kept()
        if self._shipped is None or kept.identity is None:
            return None
        size = kept.identity.segment_bytes
        waiting = [parse_segment(name, size) for name in self._waiting() if is_segment(name)]
        if waiting:
            return min(segment.begins(size) for segment in waiting)
        ends = [kept.newest[0].ends(size)] if kept.newest else []
        return max([*ends, *([self._partial.lsn] if self._partial else [])], default=None)

    def trouble(self) -> Trouble:
        """What keeps WAL on this machine, in a clause."""
        if self._error:
            return Trouble(f"it is not shipped off this machine: {self._error}")
        if self._refused:
            name, why = next(iter(self._refused.items()))
            return Trouble(f"{name} is not shipped off this machine: {why}")
        return Trouble(None)

    def turn(self) -> None:
        """Send what there is to send. Never raises."""
        self._beat()
        try:
            if self._clock.monotonic() - self._listed_at > RELIST_S:
                names = self._store.wal_source(self._subject).names()
                # Of what is there in part nobody knows how much.
                self._shipped = {name for name in names if not is_partial(name)}
                self._listed_at = self._clock.monotonic()
            self._send_whole()
            if self._clock.monotonic() - self._partial_at >= self._every_s:
                self._partial_at = self._clock.monotonic()
                self._send_partial()
        except (OffsiteFailed, OSError) as error:
            self._failed(mask(str(error)))
        except Exception:
            log.exception("wal.ship_failed", subject=self._subject)
            self._failed("a defect of Shippyard; the log has it")
        else:
            self._error, self._pause_s = None, PAUSE_FIRST_S

    def _run(self) -> None:
        wait_s = 0.0
        while not self._stop.wait(wait_s):
            self.turn()
            wait_s = min(TURN_S, self._every_s)
            if self._error:
                wait_s, self._pause_s = self._pause_s, min(self._pause_s * 2, PAUSE_LONGEST_S)

    def _waiting(self) -> list[str]:
        shipped = self._shipped or set()
        return [name for name in self._archive.kept().entries if name not in shipped]

    def _send_whole(self) -> None:
        """Histories first: without them, what follows leads nowhere."""
        assert self._shipped is not None, "the store was asked"
        waiting = sorted(self._waiting(), key=lambda name: (not is_history(name), name[8:], name))
        for name in waiting[:AT_ONCE]:
            if self._stop.is_set():
                return
            self._beat()
            try:
                self._store.put_wal(self._subject, name, self._archive.path(name))
            except OffsiteFailed as error:
                if not error.lasting:
                    raise
                # One that can't go must not keep the others.
                self._refuse(name, str(error))
                continue
            self._refused.pop(name, None)
            self._shipped.add(name)
            log.info("wal.shipped", subject=self._subject, segment=name)

    def _send_partial(self) -> None:
        """Send what is received of the newest segment, if there is more of it than last time."""
        kept = self._archive.kept()
        if kept.identity is None:
            return
        size = kept.identity.segment_bytes
        found = received(self._archive.receiving, size)
        newest = newest_in(self._archive.receiving, size) if found else None
        if found is None or newest is None or not is_partial(newest[1].name):
            return
        if self._partial and (self._partial.timeline, self._partial.lsn) == (
            found.timeline,
            found.lsn,
        ):
            return
        segment, path = newest
        if not _is_of(found, segment, size):
            return  # the next one was begun meanwhile; this one is whole and goes with the others
        with _scratch(self._archive.folder) as copy, contextlib.suppress(FileNotFoundError):
            compress_file(path, copy, LEVEL)
            self._store.put_wal(self._subject, segment.name(size) + PARTIAL, copy)
            self._partial = found

    def _refuse(self, name: str, why: str) -> None:
        if name not in self._refused:
            log.error("wal.not_shipped", segment=name, reason=why)
        self._refused[name] = mask(why)
        self._metrics.offsite_errors.labels("wal").inc()

    def _failed(self, why: str) -> None:
        log.warning("wal.not_shipped", subject=self._subject, reason=why)
        self._error = why
        self._metrics.offsite_errors.labels("wal").inc()


def _is_of(found: Received, segment: Segment, segment_bytes: int) -> bool:
    begins = segment.begins(segment_bytes)
    return found.timeline == segment.timeline and begins < found.lsn <= begins + segment_bytes


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    path = folder / ".shipping"
    path.unlink(missing_ok=True)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
