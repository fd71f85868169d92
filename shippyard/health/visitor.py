"""Owns looking at a database in visits: a poller that keeps no connection and has no thread.

Whoever gives it turns decides when. Whether the server answers at all is for the cluster's pollers
to tell on-call.
"""

from shippyard.health.model import Finding, Observation
from shippyard.health.poller import Poller


class Visitor(Poller):
    """One visited database. All but `visit`, `stop` and `leave` is as with every poller."""

    _next_at = 0.0

    def visit(self) -> None:
        """Ask what is due, over a connection of this visit. None is made when nothing is due."""
        if self._clock.monotonic() < self._next_at:
            return
        self._connect()
        try:
            self._ask_due(self._clock.monotonic())
        finally:
            # A histogram for every visited database would be most of what is scraped.
            self._metrics.check_duration.remove_by_labels({"database": self._database.name})
            session, self._session = self._session, None
            if session is not None:
                session.close()

    def stop(self) -> None:
        """Show nothing of the database any more; what was found there stays as it is."""
        self.begin_stop()
        self._withdraw_all()
        self._forget_gauges()
        self._metrics.check_errors.remove_by_labels({"database": self._database.name})

    def leave(self) -> None:
        """The database is gone: what was found there is over."""
        where = (self._database.cluster, self._database.name)
        found = self._board.status(self._clock.monotonic()).findings
        for alert in (check.alert for check in self._checks):
            if alert is not None and alert.rule in found:
                self._report(Observation(alert.rule, *where, alert.severity, alert.for_s, None))
        self.stop()

    def _ask_due(self, now: float) -> None:
        """Each check that is due now, the most overdue first; none twice."""
        while (session := self._session) is not None and not self._stop.is_set():
            check = self._most_overdue(session)
            self._next_at = now if check is None else self._due[check.name]
            if check is None or self._next_at > now:
                return
            self._beat()
            self._ask(session, check)

    def _pause(self, length_s: float) -> None:
        """The next turn comes soon enough, and the others should not wait for this one."""

    def _tell_reach(self, finding: Finding | None) -> None:
        """Not this one's to tell."""
