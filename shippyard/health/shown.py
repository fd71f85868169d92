"""Owns what is shown and told of one database: its series, facts, status and findings.

A check that fails takes its own samples with it, a connection that is lost takes all, because a
stale value is worse than none. Knows no connection and no cadence: it is told what came of each.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog

from shippyard.config.models import Database
from shippyard.health.evaluate import Answer
from shippyard.health.live import LiveHealth, place_of
from shippyard.health.model import AlertSpec, Check, Finding, Lack, Observation, Row
from shippyard.health.status import Board, PollerStatus
from shippyard.host.clock import Clock
from shippyard.telemetry.exposition import Exposition
from shippyard.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

UNREACHABLE = "unreachable"
UNREACHABLE_FOR_S = 30.0
"""A restart of the server is over sooner."""


class Shown:
    """Everything that readers can see of one database. Used by its poller alone.

    `observe` is told after every successful run of a check with an alert, and only then: a look
    that failed never ends an incident. `tells_reach` is false where it is for others to tell
    whether the server answers.
    """

    def __init__(
        self,
        database: Database,
        checks: Sequence[Check],
        *,
        exposition: Exposition,
        metrics: Metrics,
        observe: Callable[[Observation], None],
        live: LiveHealth,
        clock: Clock,
        shows_instance: bool,
        tells_reach: bool,
    ) -> None:
        self._database = database
        self._checks = checks
        self._exposition = exposition
        self._metrics = metrics
        self._observe = observe
        self._live = live
        self._clock = clock
        self._shows_instance = shows_instance
        self._tells_reach = tells_reach
        self._board = Board(database.name, database.cluster)

    @property
    def up(self) -> bool:
        """Whether the database is said to answer."""
        return self._board.up

    def status(self) -> PollerStatus:
        """What is known of the database now."""
        return self._board.status(self._clock.monotonic())

    def labels(self, check: Check) -> dict[str, str]:
        """What every sample of a check says of where it comes from."""
        own = {"database": self._database.name}
        return {**own, "cluster": self._database.cluster} if check.scope == "instance" else own

    # The database.

    def unknown(self) -> None:
        """Nothing is known of it yet."""
        self._metrics.database_up.labels(self._database.name).set(0)

    def came_up(self, server_version: int) -> None:
        """It answers."""
        self._board.came_up(server_version)
        self._metrics.database_up.labels(self._database.name).set(1)
        said = self.status().server_version
        log.info("health.connected", database=self._database.name, server_version=said)

    def went_down(self, error: str) -> None:
        """It doesn't: nothing that it said holds any more."""
        self.withdraw()
        self._board.went_down(error)
        self._tell_reach(Finding(f"{self._database.name} does not answer: {error}", {}))

    def tell_it_answers(self) -> None:
        """No answer is itself something seen, unlike a check that failed; and so is its end."""
        self._tell_reach(None)

    def withdraw(self) -> None:
        """Show no samples and no facts of it."""
        for check in self._checks:
            self._exposition.withdraw(self._publisher(check))
            self._metrics.series_folded.remove(self._database.name, check.name)
            self._unlack(check)
        if self._shows_instance:
            self._live.forget(self._database.cluster)
        self._live.forget(place_of(self._database))
        self._metrics.database_up.labels(self._database.name).set(0)

    def forget(self) -> None:
        """Show nothing at all: a database that is no longer polled is not one that is down."""
        self.withdraw()
        self._metrics.database_up.remove(self._database.name)
        for check in self._checks:
            self._metrics.check_last_success.remove(self._database.name, check.name)

    def forget_durations(self) -> None:
        """Show no more how long the checks took here."""
        self._metrics.check_duration.remove_by_labels({"database": self._database.name})

    def forget_errors(self) -> None:
        """Count the errors of its checks no more."""
        self._metrics.check_errors.remove_by_labels({"database": self._database.name})

    # One check.

    def succeeded(self, check: Check, took_s: float, answer: Answer, rows: Sequence[Row]) -> None:
        """Show the newest answer, and tell what it found."""
        labels = (self._database.name, check.name)
        publisher = self._publisher(check)
        folded = self._exposition.publish(publisher, answer.families, check.series_max)
        self._metrics.series_folded.labels(*labels).set(folded)
        self._unlack(check)
        place = place_of(self._database, check.scope)
        self._live.record(place, check.name, rows, every_s=check.every_s)
        self._board.succeeded(check.name, took_s, self._clock.monotonic())
        self._metrics.check_duration.labels(*labels).set(took_s)
        self._metrics.check_last_success.labels(*labels).set(self._clock.now().timestamp())
        self._tell(check, answer)

    def failed(self, check: Check, took_s: float, error: str, kind: str) -> None:
        """Show none of its samples; count it, and say in the log what is new."""
        self._withdraw_check(check)
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

    def lacks(self, check: Check, lack: Lack) -> None:
        """It can't be asked here: shown, and said once."""
        self._withdraw_check(check)
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

    def _withdraw_check(self, check: Check) -> None:
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

    def _publisher(self, check: Check) -> str:
        return f"{self._database.name}/{check.name}"

    # What alerting is told.

    def tell_all_is_over(self) -> None:
        """What was found in a database is over when the database is gone.

        Also what was found before a check failed, and said twice: no second look will come to
        confirm it.
        """
        for alert in (check.alert for check in self._checks if check.alert is not None):
            self._report(self._observation(alert, None))
            self._report(self._observation(alert, None))

    def _tell(self, check: Check, answer: Answer) -> None:
        alert = check.alert
        if alert is None:
            return
        self._board.found(alert.rule, answer.finding)
        self._report(replace(self._observation(alert, answer.finding), parts=answer.parts))

    def _observation(self, alert: AlertSpec, finding: Finding | None) -> Observation:
        where = (self._database.cluster, self._database.name)
        return Observation(alert.rule, *where, alert.severity, alert.for_s, finding)

    def _tell_reach(self, finding: Finding | None) -> None:
        if not self._tells_reach:
            return
        where = (self._database.cluster, self._database.name)
        self._report(Observation(UNREACHABLE, *where, "page", UNREACHABLE_FOR_S, finding))

    def _report(self, seen: Observation) -> None:
        try:
            self._observe(seen)
        except Exception:  # samples don't suffer from trouble in alerting
            log.exception("health.observer_failed", rule=seen.rule)
