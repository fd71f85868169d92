"""Owns one attempt at one revision, as its sessions show it: the settings hold, what was committed.

Looks at each statement before it is sent and after it went through. Decides nothing about trying
again.
"""

import re
from collections.abc import Callable, Sequence

from psycopg.pq import TransactionStatus

from shippyard.host.clock import SystemClock
from shippyard.migration.connecting import WitnessedConnection, unseen_cursor
from shippyard.migration.manners import (
    CHANGES_SETTINGS,
    CONCURRENTLY,
    PLAIN,
    TAKES_NO_LOCK,
    Manners,
    laxer,
    mending,
    showing,
)

READS = re.compile(
    r"(?is)\s*(SHOW|SET|RESET|BEGIN|ROLLBACK|SAVEPOINT|RELEASE|SELECT\b.*\bpg_catalog)\b"
)
COMMITS = re.compile(r"(?is)\s*(COMMIT|END)\b")
LOOK_AGAIN_S = 1.0
"""A trigger or a function may change settings without a word: rows that are changed one statement
after the other are looked at as often, all else each time."""

OnMended = Callable[[Sequence[str]], None]


class Attempt:
    """A witness of an attempt's sessions; used by the thread that runs revisions, read by another.

    `sessions` are those that it opened, by their
    server process. `concurrent` has the text of what was begun CONCURRENTLY.
    """

    def __init__(self, manners: Manners, on_mended: OnMended) -> None:
        self.manners = manners
        self._on_mended = on_mended
        self._clock = SystemClock()
        self._looked_s = float("-inf")
        self._doubtful = False
        self._changed = False
        self.sessions: dict[int, WitnessedConnection] = {}
        self.concurrent: list[str] = []
        self.stays = False

    @property
    def half_applied(self) -> bool:
        """True when something of the revision stays although it failed."""
        return self.stays or bool(self.concurrent)

    def adopt(self, session: WitnessedConnection) -> WitnessedConnection:
        """A session that was opened for it."""
        self.sessions[session.info.backend_pid] = session
        return session

    def before(self, session: WitnessedConnection, statement: str) -> None:
        """See to it that the settings hold."""
        concurrent = CONCURRENTLY.match(statement) is not None
        if concurrent:
            self.concurrent.append(statement)
        if self._is_to_be_looked_at(session, statement):
            self._mend(session, concurrent=concurrent)
            # what goes on after a statement without limits is to have them again
            self._doubtful = concurrent
        self._doubtful |= CHANGES_SETTINGS.search(statement) is not None

    def after(self, session: WitnessedConnection, statement: str) -> None:
        """Remember what stays."""
        if COMMITS.match(statement):
            self.committed()
        if READS.match(statement) or "alembic_version" in statement:
            return
        self._changed = True
        alone = session.info.transaction_status == TransactionStatus.IDLE
        self.stays |= session.autocommit and alone

    def committed(self) -> None:
        """A transaction went through."""
        self.stays |= self._changed
        self._changed = False

    def rolled_back(self) -> None:
        """A transaction left nothing, and its settings are as they were before it."""
        self._changed = False
        self._doubtful = True

    def _is_to_be_looked_at(self, session: WitnessedConnection, statement: str) -> bool:
        if session.info.transaction_status == TransactionStatus.INERROR:
            return False  # it can only be rolled back
        if TAKES_NO_LOCK.match(statement):
            return False
        late = self._clock.monotonic() - self._looked_s >= LOOK_AGAIN_S
        return self._doubtful or late or PLAIN.match(statement) is None

    def _mend(self, session: WitnessedConnection, *, concurrent: bool) -> None:
        self._looked_s = self._clock.monotonic()
        wanted = self.manners.wanted(concurrent=concurrent)
        names = [*wanted, "row_security"]
        with unseen_cursor(session) as cursor:
            shown = {}
            cursor.execute(showing(wanted).encode())
            for name in names:
                (shown[name],) = cursor.fetchone() or ("",)
                cursor.nextset()
            lost = laxer(wanted, shown)
            if lost and not concurrent and not self._is_after_concurrent(lost):
                self._on_mended(lost)
            if concurrent:
                lost = ("lock_timeout", "statement_timeout", *lost)
            if lost:
                cursor.execute(mending(lost, wanted).encode())

    def _is_after_concurrent(self, lost: Sequence[str]) -> bool:
        """What we lifted ourselves was not changed by anybody."""
        return bool(self.concurrent) and set(lost) <= {"lock_timeout", "statement_timeout"}
