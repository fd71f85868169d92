"""Owns asking one database its checks: one thread, one connection, each check on its own cadence.

A check that fails harms only itself. A connection that is lost takes every sample with it, because
a stale value is worse than none; it is sought again for ever, with growing pauses. The loop beats
whether or not the database answers.
"""

import random
import threading
from collections.abc import Callable, Iterable, Sequence

import structlog

from shippyard.config.models import Database
from shippyard.health.asking import Asker, Lacking
from shippyard.health.cadence import next_due, pause_s
from shippyard.health.evaluate import Answer, AnswerUnusable
from shippyard.health.live import LiveHealth, place_of
from shippyard.health.model import Check, Finding, Lack, Observation, Row
from shippyard.health.shape import Shape
from shippyard.health.status import Board, PollerStatus
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

UNREACHABLE = "unreachable"
UNREACHABLE_FOR_S = 30.0
"""A restart of the server is over sooner."""

CLEARS = 2
"""So many answers after an outage are reported; one alone could be flapping."""

# What PostgreSQL says when it ends a session: the error comes before the connection is seen to go.
_ENDED = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03"})
_NAMED = {"57014": "timeout", "55P03": "lock_timeout"}


class Poller:
    """Polls one database until stopped; stopping twice, or before starting, is fine.

    `target` may be a function, so that a password is read when it is needed. `observe` is told
    after every successful run of a check with an alert, and only then: a look that failed never
    ends an incident.
    """

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
        self._runs_instance_checks = runs_instance_checks
        self._exposition = exposition
        self._metrics = metrics
        self._observe = observe
        self._live = live
        self._clock = clock
        self._beat = beat
        self._connect_timeout_s = min(connect_timeout_s, CONNECT_MAX_S)
        self._reconnect_max_s = reconnect_max_s
        self._board = Board(database.name, database.cluster)
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
        self._metrics.database_up.labels(self._database.name).set(0)
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
        self._withdraw_all()
        self._forget_gauges()

    def status(self) -> PollerStatus:
        """What is known of the database now."""
        return self._board.status(self._clock.monotonic())

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
        if not self._board.up:
            self._mark_up(session)
        # Last, for it may take long, and stopping may have ended meanwhile.
        if self._clears_owed:
            self._clears_owed -= 1
            self._tell_reach(None)

    def _mark_up(self, session: Session) -> None:
        self._failures = 0
        self._board.came_up(session.server_version)
        self._metrics.database_up.labels(self._database.name).set(1)
        version = self._board.status(self._answered_at).server_version
        log.info("health.connected", database=self._database.name, server_version=version)

    def _went_down(self, error: str) -> None:
        """Show nothing of the database, say so once, and wait before the next try."""
        if self._session is not None:
            self._session.close()
            self._session = None
        if self._stop.is_set():
            return  # what is shown by now may be the next poller's
        self._withdraw_all()
        self._failures += 1
        if self._failures == 1:
            log.warning("health.connection_lost", database=self._database.name, error=error)
        self._board.went_down(error)
        self._clears_owed = CLEARS
        self._tell_reach(Finding(f"{self._database.name} does not answer: {error}", {}))
        # Not cryptographic: it only keeps daemons from coming back all at once.
        self._pause(pause_s(self._failures, self._reconnect_max_s, random.random()))  # noqa: S311

    def _withdraw_all(self) -> None:
        for check in self._checks:
            self._exposition.withdraw(self._publisher(check))
            self._metrics.series_folded.remove(self._database.name, check.name)
            self._unlack(check)
        if self._runs_instance_checks:
            self._live.forget(self._database.cluster)
        self._live.forget(place_of(self._database))
        self._metrics.database_up.labels(self._database.name).set(0)

    def _forget_gauges(self) -> None:
        """A database that is no longer polled is not one that is down."""
        self._metrics.database_up.remove(self._database.name)
        for check in self._checks:
            self._metrics.check_last_success.remove(self._database.name, check.name)

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
            answer, rows = self._asker.ask(session, check, self._labels(check), started)
        except Lacking as lacking:
            self._answered(session)
            self._lacks(check, lacking.lack)
        except QueryFailed as error:
            self._refused(session, check, started, error)
        except AnswerUnusable as error:
            self._answered(session)
            self._failed(check, started, str(error), "answer")
            self._schedule(check, started)
        else:
            self._answered(session)
            self._succeeded(check, started, answer, rows)
            self._schedule(check, started)

    def _refused(self, session: Session, check: Check, started: float, error: QueryFailed) -> None:
        if error.sqlstate is None or error.sqlstate in _ENDED or session.closed:
            self._failed(check, started, str(error), "lost")
            self._schedule(check, started)
            self._suspect_of_loss(check)
            self._went_down(str(error))
        else:
            self._answered(session)
            self._failed(check, started, str(error), kind_of(error.sqlstate))
            self._schedule(check, started)

    def _suspect_of_loss(self, check: Check) -> None:
        """After a loss all is due at once, but for a check that loses it time and again."""
        again = self._suspect == check.name
        self._suspect = check.name
        self._due = {check.name: self._due[check.name]} if again else {}

    def _succeeded(self, check: Check, started: float, answer: Answer, rows: Sequence[Row]) -> None:
        ended = self._clock.monotonic()
        if self._suspect == check.name:
            self._suspect = None
        if self._stop.is_set():
            return
        labels = (self._database.name, check.name)
        publisher = self._publisher(check)
        folded = self._exposition.publish(publisher, answer.families, check.series_max)
        self._metrics.series_folded.labels(*labels).set(folded)
        self._unlack(check)
        place = place_of(self._database, check.scope)
        self._live.record(place, check.name, rows, every_s=check.every_s)
        self._board.succeeded(check.name, ended - started, ended)
        self._metrics.check_duration.labels(*labels).set(ended - started)
        self._metrics.check_last_success.labels(*labels).set(self._clock.now().timestamp())
        self._tell(check, answer)

    def _tell(self, check: Check, answer: Answer) -> None:
        alert = check.alert
        if alert is None:
            return
        self._board.found(alert.rule, answer.finding)
        where = (self._database.cluster, self._database.name)
        self._report(Observation(alert.rule, *where, alert.severity, alert.for_s, answer.finding))

    def _tell_reach(self, finding: Finding | None) -> None:
        """No answer is itself something seen, unlike a check that failed."""
        where = (self._database.cluster, self._database.name)
        self._report(Observation(UNREACHABLE, *where, "page", UNREACHABLE_FOR_S, finding))

    def _report(self, seen: Observation) -> None:
        try:
            self._observe(seen)
        except Exception:  # samples don't suffer from trouble in alerting
            log.exception("health.observer_failed", rule=seen.rule)

    def _lacks(self, check: Check, lack: Lack) -> None:
        """Said once, shown, and looked for again much later: asking on would mend nothing."""
        if self._stop.is_set():
            return
        self._forget(check)
        labels = (self._database.name, check.name)
        self._metrics.check_unavailable.labels(*labels, lack.reason).set(1)
        if self._board.lacking(check.name, lack):
            log.warning(
                "health.check_unavailable",
                database=self._database.name,
                check=check.name,
                reason=lack.reason,
                says=lack.says,
            )
        self._due[check.name] = self._clock.monotonic() + max(LACKING_AGAIN_S, check.every_s)

    def _forget(self, check: Check) -> None:
        """What the check said before is not known any more; the others go on."""
        self._exposition.withdraw(self._publisher(check))
        self._live.forget(place_of(self._database, check.scope), check.name)
        if check.alert:
            self._board.found(check.alert.rule, None)
        self._metrics.series_folded.remove(self._database.name, check.name)
        self._unlack(check)

    def _unlack(self, check: Check) -> None:
        labels = {"database": self._database.name, "check": check.name}
        self._metrics.check_unavailable.remove_by_labels(labels)

    def _failed(self, check: Check, started: float, error: str, kind: str) -> None:
        if self._stop.is_set():
            return
        took_s = self._clock.monotonic() - started
        self._forget(check)
        labels = (self._database.name, check.name)
        self._metrics.check_errors.labels(*labels, kind).inc()
        self._metrics.check_duration.labels(*labels).set(took_s)
        if self._board.failed(check.name, took_s, error):
            log.warning(
                "health.check_failed",
                database=self._database.name,
                check=check.name,
                kind=kind,
                error=error,
                elapsed_s=round(took_s, 3),
            )

    def _schedule(self, check: Check, started: float) -> None:
        now = self._clock.monotonic()
        self._due[check.name] = next_due(self._due[check.name], check.every_s, now, now - started)

    def _labels(self, check: Check) -> dict[str, str]:
        own = {"database": self._database.name}
        return {**own, "cluster": self._database.cluster} if check.scope == "instance" else own

    def _publisher(self, check: Check) -> str:
        return f"{self._database.name}/{check.name}"


def kind_of(sqlstate: str) -> str:
    """A bounded name for an error of the server: its own for the usual ones, else its class."""
    return _NAMED.get(sqlstate, f"class_{sqlstate[:2]}")
