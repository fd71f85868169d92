"""Owns visiting a cluster's other databases in turn: one thread, one connection at most at a time.

Which ones there are is asked anew in every round, so that created ones are found, and of dropped
ones nothing stays. How a database is asked is its poller's; this one only gives it its turns.
"""

import threading
from collections.abc import Callable, Collection
from typing import Protocol

import structlog

from shippyard.config.models import Health
from shippyard.health.reach import DATABASES_SQL, reach_of
from shippyard.health.status import PollerStatus
from shippyard.host.clock import Clock
from shippyard.host.secrets import SecretMissing
from shippyard.postgres.session import QueryFailed, Unreachable, session
from shippyard.postgres.target import Target

log = structlog.get_logger(__name__)

ROUND_S = 30.0
"""Between the beginnings of two rounds. A visited database is asked nothing more often."""

JOIN_S = 3.0
TURN_S = 1.0
LIST_TIMEOUT_S = 2.0


class Visited(Protocol):
    """One database that is looked at in visits."""

    def visit(self) -> None:
        """Connect, ask what is due, and let go."""
        ...

    def leave(self) -> None:
        """The database is gone: show nothing of it, and end what was found there."""
        ...

    def stop(self) -> None:
        """Show nothing of it any more."""
        ...

    def begin_stop(self) -> None:
        """End a visit under way."""
        ...

    def status(self) -> PollerStatus:
        """What is known of it."""
        ...


class Rover:
    """Visits the databases of `cluster` until stopped; stopping twice, or before starting, is fine.

    `home` is the database that says which others there are; `polled` are those that have a poller.
    `visitor` makes what visits a database, by its name in PostgreSQL.
    """

    def __init__(
        self,
        cluster: str,
        home: Callable[[], Target],
        settings: Health,
        polled: Collection[str],
        visitor: Callable[[str], Visited],
        *,
        clock: Clock,
        beat: Callable[[], None],
    ) -> None:
        self._cluster = cluster
        self._home = home
        self._settings = settings
        self._polled = polled
        self._visitor = visitor
        self._clock = clock
        self._beat = beat
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._visited: dict[str, Visited] = {}
        self._said: dict[str, str] = {}
        self._is_lost = False

    def start(self) -> None:
        """Begin to visit in the background."""
        self._thread = threading.Thread(
            target=self._run, name=f"rover:{self._cluster}", daemon=True
        )
        self._thread.start()

    def begin_stop(self) -> None:
        """Tell the round to end, and cut off a question in flight; waits for nothing."""
        self._stop.set()
        for visited in list(self._visited.values()):
            visited.begin_stop()

    def stop(self) -> None:
        """End; nothing of the visited databases is shown after."""
        self.begin_stop()
        thread, self._thread = self._thread, None
        if thread is None:
            return
        thread.join(JOIN_S)
        for visited in list(self._visited.values()):
            visited.stop()

    def statuses(self) -> list[PollerStatus]:
        """What is known of each visited database now."""
        return [visited.status() for _, visited in sorted(self._visited.items())]

    def _run(self) -> None:
        while not self._stop.is_set():
            begun = self._clock.monotonic()
            try:
                self.round()
            except Exception:  # the loop outlives a defect of ours
                log.exception("health.round_failed", cluster=self._cluster)
            self._rest_until(begun + ROUND_S)

    def round(self) -> None:
        """See which databases there are, and visit each once.

        When the cluster can't say which there are, those that are known are visited all the same:
        a visit that fails takes away what it showed.
        """
        self._beat()
        self._look_around()
        for visited in list(self._visited.values()):
            if self._stop.is_set():
                return
            self._beat()
            visited.visit()

    def _look_around(self) -> None:
        try:
            with session(self._home(), "rover") as opened:
                rows = opened.query(DATABASES_SQL, timeout_s=LIST_TIMEOUT_S)
        except (Unreachable, QueryFailed, SecretMissing) as error:
            if not self._is_lost:  # the poller tells on-call
                log.warning("health.databases_unknown", cluster=self._cluster, error=str(error))
            self._is_lost = True
            return
        self._is_lost = False
        reach = reach_of(rows, self._settings, self._polled)
        self._say(dict(reach.left_out))
        for name in self._visited.keys() - set(reach.visited):
            log.info("health.database_left", cluster=self._cluster, database=name)
            self._visited.pop(name).leave()
        for name in reach.visited:
            if name not in self._visited:
                log.info("health.database_found", cluster=self._cluster, database=name)
                self._visited[name] = self._visitor(name)

    def _say(self, left_out: dict[str, str]) -> None:
        """Each once, until its reason is another one."""
        for name in sorted(left_out.keys()):
            if self._said.get(name) != left_out[name]:
                log.info(
                    "health.database_left_out",
                    cluster=self._cluster,
                    database=name,
                    reason=left_out[name],
                )
        self._said = left_out

    def _rest_until(self, due: float) -> None:
        while (left_s := due - self._clock.monotonic()) > 0 and not self._stop.is_set():
            self._beat()
            self._stop.wait(min(left_s, TURN_S))
