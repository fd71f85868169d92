"""Owns asking one database its checks: one thread, one connection, each check on its own cadence.

A check that fails harms only itself. A connection that is lost is sought again for ever, with
growing pauses. The loop beats whether or not the database answers. What came of it is `Shown`.
"""

import random
import threading
from collections.abc import Callable, Iterable, Sequence

import structlog

from shippyard.config.models import Database
from shippyard.health.asking import Asker, Lacking
from shippyard.health.cadence import next_due, pause_s
from shippyard.health.evaluate import Answer, AnswerUnusable
from shippyard.health.live import LiveHealth
from shippyard.health.model import Check, Lack, Observation, Row
from shippyard.health.shape import Shape
from shippyard.health.shown import Shown
from shippyard.health.status import PollerStatus
from shippyard.host.clock import Clock
from shippyard.host.secrets import SecretMissing
from shippyard.postgres.session import QueryFailed, Session, Unreachable, open_session
from shippyard.postgres.target import Target
from shippyard.telemetry.exposition import Exposition
from shippyard.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

TURN_S = 1.0
JOIN_S = 3.0
CONNECT_MAX_S = 9.0
PING_AFTER_S = 5.0
PING_TIMEOUT_S = 2.0
LACKING_AGAIN_S = 900.0
"""What a check lacks is looked for again so often, and after a reconnect."""

CLEARS = 2
"""So many answers after an outage are reported; one alone could be flapping."""

# What PostgreSQL says when it ends a session: the error comes before the connection is seen to go.
_ENDED = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03"})
_NAMED = {"57014": "timeout", "55P03": "lock_timeout"}


class Poller:
    """Polls one database until stopped; stopping twice, or before starting, is fine.

    `target` may be a function, so that a password is read when it is needed. For `observe` see
    `Shown`.
    """

    TELLS_REACH = True
    """Whether it is for this one to tell on-call that the server does not answer."""

    def __init__(
        self,
        database: Database,
        target: Target | Callable[[], Target],
        checks: Iterable[Check],
        *,
        exposition: Exposition,
        metrics: Metrics,
        observe: Callable[[Observation], None],
        live: LiveHealth,
        clock: Clock,
        beat: Callable[[], None],
        runs_instance_checks: bool,
        connect_timeout_s: float,
        reconnect_max_s: float,
    ) -> None:
        self._database = database
        self._target = target
        self._checks = [c for c in checks if c.scope == "database" or runs_instance_checks]
        self._shown = Shown(
            database,
            self._checks,
            exposition=exposition,
            metrics=metrics,
            observe=observe,
            live=live,
            clock=clock,
            shows_instance=runs_instance_checks,
            tells_reach=self.TELLS_REACH,
        )
        self._clock = clock
        self._beat = beat
        self._connect_timeout_s = min(connect_timeout_s, CONNECT_MAX_S)
        self._reconnect_max_s = reconnect_max_s
        self._asker = Asker(database.monitor.user)
        self._stop = threading.Event()
        self._stop_by = 0.0
        self._thread: threading.Thread | None = None
        self._session: Session | None = None
        self._due: dict[str, float] = {}
        self._suspect: str | None = None
        self._answered_at = 0.0
        self._failures = 0
        # An incident of the daemon's last life may still be open.
        self._clears_owed = CLEARS

    def start(self) -> None:
        """Begin to poll in the background."""
        self._shown.unknown()
        self._thread = threading.Thread(
            target=self._run, name=f"poller:{self._database.name}", daemon=True
        )
        self._thread.start()

    def begin_stop(self) -> None:
        """Tell the loop to end and cut off a query in flight; waits for nothing."""
        if not self._stop.is_set():
            self._stop_by = self._clock.monotonic() + JOIN_S
            self._stop.set()
        session = self._session
        if session is not None:
            session.sever()

    def stop(self) -> None:
        """End the loop. Nothing of this database is shown after, till another poller shows it.

        A thread that hangs in connecting is left behind `JOIN_S` after the first word of stopping,
        so that many told together end together; it shows nothing when it comes back.
        """
        self.begin_stop()
        thread, self._thread = self._thread, None
        if thread is None:
            return  # never started, or stopped before: what is shown now is another poller's
        thread.join(max(0.0, self._stop_by - self._clock.monotonic()))
        self._shown.forget()

    def status(self) -> PollerStatus:
        """What is known of the database now."""
        return self._shown.status()

    def shape(self, check: str) -> Shape | None:
        """What makes sense of a check's answers; None when it was not asked here yet."""
        return self._asker.shape(check)

    # The loop.

    def _run(self) -> None:
        while not self._stop.is_set():
            self._beat()
            try:
                self._turn()
            except Exception as error:  # the loop outlives a defect of ours
                log.exception("health.turn_failed", database=self._database.name)
                self._went_down(f"internal error: {error}")
        if self._session is not None:
            self._session.close()

    def _turn(self) -> None:
        """One step: connect, or run the check that is most overdue, or wait for it."""
        if self._session is None:
            self._connect()
            return
        check = self._most_overdue(self._session)
        now = self._clock.monotonic()
        if check is not None and self._due[check.name] <= now:
            self._ask(self._session, check)
        elif now - self._answered_at > PING_AFTER_S:
            self._ping(self._session)
        else:
            wait_s = TURN_S if check is None else self._due[check.name] - now
            self._stop.wait(min(wait_s, TURN_S))

    def _most_overdue(self, session: Session) -> Check | None:
        fitting = [check for check in self._checks if check.applies_to(session.server_version)]
        return min(fitting, key=lambda check: self._due[check.name], default=None)

    # The connection.

    def _connect(self) -> None:
        try:
            target = self._target() if callable(self._target) else self._target
            session = open_session(target, "health", connect_timeout_s=self._connect_timeout_s)
        except (Unreachable, SecretMissing) as error:
            self._went_down(str(error))
            return
        if self._stop.is_set():
            session.close()
            return
        self._came_up(session)

    def _came_up(self, session: Session) -> None:
        """Everything that is not told to rest is due at once."""
        now = self._clock.monotonic()
        self._session = session
        self._answered_at = now
        self._asker.reconnected()
        self._due = {check.name: self._due.get(check.name, now) for check in self._checks}

    def _answered(self, session: Session) -> None:
        """The server answers; an accepted connection alone doesn't say so."""
        self._answered_at = self._clock.monotonic()
        if self._stop.is_set():
            return
        if not self._shown.up:
            self._failures = 0
            self._shown.came_up(session.server_version)
        # Last, for it may take long, and stopping may have ended meanwhile.
        if self._clears_owed:
            self._clears_owed -= 1
            self._shown.tell_it_answers()

    def _went_down(self, error: str) -> None:
        """Show nothing of the database, say so once, and wait before the next try."""
        if self._session is not None:
            self._session.close()
            self._session = None
        if self._stop.is_set():
            return  # what is shown by now may be the next poller's
        self._failures += 1
        if self._failures == 1:
            log.warning("health.connection_lost", database=self._database.name, error=error)
        self._clears_owed = CLEARS
        self._shown.went_down(error)
        # Not cryptographic: it only keeps daemons from coming back all at once.
        self._pause(pause_s(self._failures, self._reconnect_max_s, random.random()))  # noqa: S311

    def _pause(self, length_s: float) -> None:
        until = self._clock.monotonic() + length_s
        while (left_s := until - self._clock.monotonic()) > 0 and not self._stop.is_set():
            self._beat()
            self._stop.wait(min(left_s, TURN_S))

    def _ping(self, session: Session) -> None:
        """With only slow checks, a dead connection would go unseen between them."""
        try:
            session.query("SELECT 1", {}, timeout_s=PING_TIMEOUT_S)
        except QueryFailed as error:
            self._due.clear()
            self._went_down(str(error))
        else:
            self._answered(session)

    # One check.

    def _ask(self, session: Session, check: Check) -> None:
        started = self._clock.monotonic()
        try:
            answer, rows = self._asker.ask(session, check, self._shown.labels(check), started)
        except Lacking as lacking:
            self._answered(session)
            self._lacks(check, lacking.lack)
        except QueryFailed as error:
            self._refused(session, check, started, error)
        except AnswerUnusable as error:
            self._answered(session)
            self._failed(check, started, str(error), "answer")
        else:
            self._answered(session)
            self._succeeded(check, started, answer, rows)

    def _refused(self, session: Session, check: Check, started: float, error: QueryFailed) -> None:
        if error.sqlstate is None or error.sqlstate in _ENDED or session.closed:
            self._failed(check, started, str(error), "lost")
            self._suspect_of_loss(check)
            self._went_down(str(error))
        else:
            self._answered(session)
            self._failed(check, started, str(error), kind_of(error.sqlstate))

    def _succeeded(self, check: Check, started: float, answer: Answer, rows: Sequence[Row]) -> None:
        took_s = self._clock.monotonic() - started
        if self._suspect == check.name:
            self._suspect = None
        if not self._stop.is_set():
            self._shown.succeeded(check, took_s, answer, rows)
        self._schedule(check, started)

    def _failed(self, check: Check, started: float, error: str, kind: str) -> None:
        if not self._stop.is_set():
            self._shown.failed(check, self._clock.monotonic() - started, error, kind)
        self._schedule(check, started)

    def _lacks(self, check: Check, lack: Lack) -> None:
        """Looked for again much later: asking on would mend nothing."""
        if not self._stop.is_set():
            self._shown.lacks(check, lack)
        self._due[check.name] = self._clock.monotonic() + max(LACKING_AGAIN_S, check.every_s)

    def _suspect_of_loss(self, check: Check) -> None:
        """After a loss all is due at once, but for a check that loses it time and again."""
        again = self._suspect == check.name
        self._suspect = check.name
        self._due = {check.name: self._due[check.name]} if again else {}

    def _schedule(self, check: Check, started: float) -> None:
        now = self._clock.monotonic()
        self._due[check.name] = next_due(self._due[check.name], check.every_s, now, now - started)


def kind_of(sqlstate: str) -> str:
    """A bounded name for an error of the server: its own for the usual ones, else its class."""
    return _NAMED.get(sqlstate, f"class_{sqlstate[:2]}")
