"""Owns telling alerting what rooms find wrong: a failed backup is a finding, like a failed check.

The rooms know no alerting and alerting no rooms; they meet here.
"""

from collections.abc import Callable, Mapping

from shippyard.alerting.service import Alerting
from shippyard.backup import conditions as backup
from shippyard.backup.model import subject_of_cluster
from shippyard.config.models import Config
from shippyard.health.model import Finding, Observation
from shippyard.migration import conditions as migration
from shippyard.migration.service import Migrations
from shippyard.telemetry.condition import Change, Condition

RESTORING = "restore_running"

CAUSED_BY_RUNS = frozenset({"invalid_index"})
"""What a migration run causes on its way: an index is INVALID while it is built CONCURRENTLY."""

ROOM_RULES = frozenset({*backup.RULES, *migration.RULES})


def expected_of(migrations: Migrations) -> Callable[[Mapping[str, str]], str | None]:
    """Tells of a look's facts which migration run is expected to have caused it, if any is."""

    def expected(facts: Mapping[str, str]) -> str | None:
        if facts["rule"] not in CAUSED_BY_RUNS or not migrations.under_way(facts["database"]):
            return None
        return "a migration run"

    return expected


class Switchboard:
    """Passes observations to the alerting of the configuration that is lived under now.

    Work outlives a reload, and how it ends must reach whoever pages then.
    """

    current: Alerting | None = None

    def observe(self, seen: Observation) -> None:
        """Tell whoever pages now; before the first start there is nobody to tell."""
        if self.current is not None:
            self.current.observe(seen)

    def announce(self, change: Change) -> None:
        """Tell whoever pages now of something that was done."""
        if self.current is not None:
            about = {"database": change.subject, "summary": change.summary}
            self.current.announce({**change.detail, **about})


class Outcomes:
    """Turns conditions into observations. A cluster's own are of the database `@cluster`."""

    def __init__(self, config: Config, switchboard: Switchboard) -> None:
        databases = {database.name: database.cluster for database in config.databases}
        clusters = {subject_of_cluster(name): name for name in databases.values()}
        self._clusters = databases | clusters
        self._switchboard = switchboard

    def announce(self, change: Change) -> None:
        """Something was done."""
        self._switchboard.announce(change)

    def tell(self, condition: Condition) -> None:
        """Something was looked at; of what is not in the configuration nothing is told."""
        subject = condition.subject
        cluster = self._clusters.get(subject)
        if cluster is None:
            return
        finding = Finding(condition.summary, condition.evidence) if condition.summary else None
        if condition.rule == RESTORING and condition.summary:
            self.announce(Change(subject, condition.summary))
        seen = Observation(condition.rule, cluster, subject, condition.severity, 0.0, finding)
        self._switchboard.observe(seen)
        if finding is None:
            # An outcome is final: no second poll will come to confirm that all is clear.
            self._switchboard.observe(seen)
