"""Owns what the doctor says of one thing, and what every check is given to look at."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from shippyard.config.models import ClusterBackup, Config, Database, Login
from shippyard.host.clock import Clock
from shippyard.host.process import Processes
from shippyard.postgres.target import Target, target_of

Level = Literal["ok", "warn", "fail"]

AS_THE_DAEMON = (
    "look as the daemon does, as root: systemd-run -qPG --wait --uid=shippyard --gid=shippyard "
    "$(systemctl cat shippyard | sed -n 's/^LoadCredential/-pLoadCredential/p') shippyard doctor"
)
"""/etc/credstore is root's alone: only systemd hands its files to the daemon's user."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `remedy` is what to type or write when it is not `ok`."""

    check: str
    subject: str
    level: Level
    said: str
    remedy: str = ""


@dataclass(frozen=True)
class Patient:
    """One configuration on one machine."""

    config: Config
    processes: Processes
    clock: Clock

    def clusters(self) -> Iterator[tuple[str, Database]]:
        """Every cluster with its first database, by which its server is reached."""
        seen: set[str] = set()
        for database in self.config.databases:
            if database.cluster not in seen:
                seen.add(database.cluster)
                yield database.cluster, database

    def kept(self, cluster: str) -> ClusterBackup | None:
        """What is to be kept of a cluster beside dumps of its databases; None for nothing."""
        return self.config.backup.clusters.get(cluster)

    def target(self, database: Database, login: Login) -> Target:
        """How a login reaches a database.

        Raises:
            SecretMissing: its password can't be read.
        """
        return target_of(database, login)


Check = Callable[[Patient], Iterator[Finding]]
"""Looks at one thing; what can't be looked at is raised, and becomes a finding too."""
