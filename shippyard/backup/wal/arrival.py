"""Owns how a cluster's WAL arrives, as the daemon sees it: how far it is, and what stops it.

From a receiver, which is another process, or from the spool, which is emptied here.
"""

from collections.abc import Callable
from datetime import datetime

from shippyard.backup.wal.archive import WalArchive
from shippyard.backup.wal.loss import LossClock
from shippyard.backup.wal.names import format_lsn
from shippyard.backup.wal.position import received
from shippyard.backup.wal.report import Trouble
from shippyard.backup.wal.server import Answer
from shippyard.backup.wal.spool import Spool
from shippyard.backup.wal.standing import WalState
from shippyard.backup.wal.status import FIRST_S, ReceiverStatus, read_status
from shippyard.host.clock import Clock

QUIET_S = 60.0
"""A receiver that is behind for so long does not keep up."""
SILENT_S = 30.0
"""A receiver speaks every second while it runs."""


class Arrival:
    """One cluster's arriving WAL. `spool` is where it is pushed; None when it is streamed."""

    def __init__(
        self, cluster: str, archive: WalArchive, spool: Spool | None, clock: Clock
    ) -> None:
        self._unit = f"shippyard-wal@{cluster}"
        self._archive = archive
        self._spool = spool
        self._clock = clock
        self._loss = LossClock()
        self._is_answered = False
        self._made_at_s = clock.monotonic()

    def heard(self, at: datetime, answer: Answer | None) -> None:
        """What the server said of itself when it was asked at `at`; None when it did not answer."""
        self._is_answered = answer is not None
        if answer:
            self._loss.observe(at, answer.lsn, answer.snapshot)

    def covered_until(self, lsn: int) -> datetime | None:
        """Until when everything committed is before a position."""
        return self._loss.covered_until(lsn)

    def reach(self) -> tuple[int, datetime] | None:
        """How far WAL has come here, and when the last of it came; None before the first."""
        kept = self._archive.kept()
        if kept.identity is None:
            return None
        size = kept.identity.segment_bytes
        newest = kept.newest
        here = [(newest[0].ends(size), newest[1].at)] if newest else []
        found = (
            received(self._archive.receiving, size) if self._archive.receiving.is_dir() else None
        )
        if found:
            here.append((found.lsn, found.at))
        return max(here, default=None)

    def waiting(self) -> list[str]:
        """Names that were pushed and are not in the archive yet."""
        return self._spool.waiting() if self._spool else []

    def is_awaited(self) -> bool:
        """True in the first moments of a first start, before a receiver ever spoke."""
        early = self._clock.monotonic() - self._made_at_s < FIRST_S
        return early and not self._spool and read_status(self._archive.folder) is None

    def state(self) -> WalState:
        """How it arrives, in a word."""
        if self._spool:
            if self._spool.refused:
                return "refused"
            return "archiving" if self.reach() else "not begun"
        status = read_status(self._archive.folder)
        if status is None:
            return "not begun"
        if not self._speaks(status) or status.state == "stopped":
            return "stopped"
        if status.state == "refused":
            return "refused"
        return "receiving" if status.state == "streaming" else "waiting"

    def take_in(self, given_up: Callable[[], bool]) -> Trouble:
        """Take what was pushed, or look whether the receiver receives; gives what is wrong."""
        if self._spool:
            return _drained(self._spool, given_up)
        status = read_status(self._archive.folder)
        if status is None:
            how = f"run: systemctl enable --now {self._unit}"
            return Trouble(f"nothing receives it; {how}", pages=True)
        if self._speaks(status) and status.state == "streaming":
            return self._lag()
        if self._speaks(status) and status.state in ("waiting", "refused"):
            pages = status.state == "refused" or self._lag().pages
            return Trouble(f"it is not received: {status.error}", pages=pages)
        why = f"its receiver is not running; run: systemctl start {self._unit}"
        return Trouble(why, pages=self._lag().pages)

    def _speaks(self, status: ReceiverStatus) -> bool:
        # Between two attempts it is silent, for a while that grows.
        return (self._clock.now() - status.updated_at).total_seconds() <= SILENT_S

    def _lag(self) -> Trouble:
        """Whether what is committed gets here."""
        reach = self.reach()
        until = self._loss.covered_until(reach[0]) if reach else None
        if until is None or not self._is_answered:
            return Trouble(None)
        behind_s = (self._clock.now() - until).total_seconds()
        if behind_s <= QUIET_S or reach is None:
            return Trouble(None)
        line = f"it is received {behind_s:.0f} s late, so far to {format_lsn(reach[0])}"
        return Trouble(line, pages=True)


def _drained(spool: Spool, given_up: Callable[[], bool]) -> Trouble:
    try:
        spool.drain(given_up)
    except OSError as error:
        return Trouble(f"spool {spool.folder}: {error.strerror or error}", pages=True)
    if spool.refused:
        name, why = next(iter(spool.refused.items()))
        return Trouble(f"{name} is not taken from the spool: {why}", pages=True)
    return Trouble(None)
