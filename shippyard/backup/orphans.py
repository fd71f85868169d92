"""Owns ending what a dead daemon's backups left on the servers: sessions that work for nobody.

A dump's session notices late that its client is gone: when it next writes, and a digest writes at
its end. They are ended only under the locks that every live attempt would hold, so that they can
be nobody's but the dead one's.
"""

import contextlib
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import structlog

from shippyard.backup.layout import Layout
from shippyard.backup.lock import HOUSEKEEPING, Busy, exclusive
from shippyard.backup.model import kinds_of
from shippyard.postgres.locks import BACKUP_LOCK, LockTaken, backup_key, locks
from shippyard.postgres.session import QueryFailed, Unreachable, one_line, session
from shippyard.postgres.target import Target

RETRY_S = 15.0
STOP_TIMEOUT_S = 2.0

_QUESTION = Path(__file__).with_name("orphans.sql").read_text()

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Place:
    """Where orphans of a subject may be: where its locks are taken and its backups made."""

    subject: str
    target: Target


class Orphans:
    """Looks once at every place, and again where it could not; then is done.

    A service: stopping twice, or before starting, is fine.
    """

    def __init__(
        self, layout: Layout, places: Iterable[Place], *, retry_s: float = RETRY_S
    ) -> None:
        self._layout = layout
        self._pending = {place.subject: place for place in places}
        self._said: dict[str, str] = {}
        self._retry_s = retry_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._turn, name="orphans", daemon=True)

    @property
    def pending(self) -> frozenset[str]:
        """Subjects that could not be looked at yet."""
        return frozenset(self._pending)

    def start(self) -> None:
        """Begin to look, in the background: a server that is away holds nobody up."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(STOP_TIMEOUT_S)

    def look(self) -> None:
        """Look at every place that is pending; what fails is said once and stays pending."""
        for place in list(self._pending.values()):
            if self._stopping.is_set():
                return
            if self._done(place):
                del self._pending[place.subject]

    def _turn(self) -> None:
        self.look()
        while self._pending and not self._stopping.wait(self._retry_s):
            self.look()

    def _done(self, place: Place) -> bool:
        try:
            self._end_at(place)
        except (Busy, LockTaken) as taken:
            # Whoever works there now has cleared up, or will.
            return self._put_off(place, f"a backup is being made: {taken}", log.info)
        except (OSError, Unreachable, QueryFailed) as error:
            return self._put_off(place, one_line(error), log.warning)
        return True

    def _put_off(self, place: Place, reason: str, say: Callable[..., object]) -> bool:
        if self._said.get(place.subject) != reason:
            self._said[place.subject] = reason
            say("backup.orphans_unseen", subject=place.subject, reason=reason)
        return False

    def _end_at(self, place: Place) -> None:
        with contextlib.ExitStack() as stack:
            held = stack.enter_context(locks(place.target, f"{BACKUP_LOCK}:{HOUSEKEEPING}"))
            for kind in kinds_of(place.subject):
                file = self._layout.lock(place.subject, kind)
                if file.parent.is_dir():
                    stack.enter_context(exclusive(file, HOUSEKEEPING))
                held.take(backup_key(place.subject, kind))
            _end_sessions(place)


def _end_sessions(place: Place) -> None:
    with session(place.target, "clearing") as opened:
        for row in opened.query(_QUESTION, {"of_cluster": place.subject.startswith("@")}):
            log.warning("backup.orphan_ended", subject=place.subject, **row)
