"""Owns looking at a database in visits: a poller that keeps no connection and has no thread.

Whoever gives it turns decides when. Whether the server answers at all is for the cluster's pollers
to tell on-call.
"""

from shippyard.health.poller import Poller


class Visitor(Poller):
    """One visited database. All but `visit`, `stop` and `leave` is as with every poller."""

    TELLS_REACH = False
    _next_at = 0.0

    def visit(self) -> None:
        """Ask what is due, over a connection of this visit. None is made when nothing is due."""
        if self._clock.monotonic() < self._next_at:
            return
        self._connect()
        try:
            self._ask_due(self._clock.monotonic())
        finally:
            # A series for every check of every visited database would be most of what is scraped.
            self._shown.forget_durations()
            session, self._session = self._session, None
            if session is not None:
                session.close()

    def stop(self) -> None:
        """Show nothing of the database any more; what was found there stays as it is."""
        self.begin_stop()
        self._shown.forget()
        self._shown.forget_errors()

    def leave(self) -> None:
        """The database is gone: what was found there is over."""
        self._shown.tell_all_is_over()
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
