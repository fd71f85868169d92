"""Owns whether a replication slot was ever seen: one that has gone is not one that never was.

It is remembered over restarts, because the server does not say. What to do about it is decided
elsewhere.
"""

import structlog
from sqlalchemy.exc import SQLAlchemyError

from shippyard.backup.wal.archive import WalArchive
from shippyard.backup.wal.slot import Past
from shippyard.backup.wal.status import FIRST_S, read_status
from shippyard.host.clock import Clock
from shippyard.postgres.session import one_line
from shippyard.state.database import State
from shippyard.state.notes import Notes

log = structlog.get_logger(__name__)


class Sighting:
    """Remembers one cluster's slot. Used by one thread."""

    def __init__(self, slot: str, archive: WalArchive, state: State, clock: Clock) -> None:
        self._slot = slot
        self._archive = archive
        self._notes = Notes(state)
        self._note = f"wal.slot_seen {archive.subject}"
        self._clock = clock
        self._first_look_s: float | None = None
        self._was_seen = False

    def past(self, *, exists: bool) -> Past:
        """What is known of the slot from before, now that the server was asked."""
        if self._first_look_s is None:
            self._first_look_s = self._clock.monotonic()
        if not self._was_seen:
            self._was_seen = exists or self._is_noted() or self._was_streamed_from()
            if exists:
                self._write()
        if self._was_seen:
            return "seen"
        early = self._clock.monotonic() - self._first_look_s < FIRST_S
        return "expected" if early else "never"

    def _was_streamed_from(self) -> bool:
        """The receiver says so: it streams from nothing else. For when our memory was lost."""
        status = read_status(self._archive.folder)
        return status is not None and status.received_lsn is not None

    def _is_noted(self) -> bool:
        """A state that can't be read keeps no slot from being paged."""
        try:
            return bool(self._notes.read(self._note) == self._slot)
        except SQLAlchemyError as error:
            log.warning("wal.slot_not_recalled", reason=one_line(error))
            return True

    def _write(self) -> None:
        """A state that can't be written keeps no slot from being guarded."""
        try:
            if not self._is_noted():
                self._notes.write(self._note, self._slot, self._clock.now())
        except SQLAlchemyError as error:
            log.warning("wal.slot_not_noted", reason=one_line(error))
