"""Owns what there are backups of: databases by their names, and clusters as `@cluster`.

A cluster's server is reached through its first database in the configuration.
"""

from collections.abc import Iterator, Mapping

from shippyard.backup.model import BackupFailed, Kind, kinds_of, subject_of_cluster
from shippyard.backup.orphans import Place
from shippyard.config.models import Config
from shippyard.postgres.target import Target, target_of


class Subjects:
    """The subjects of one configuration, and how each is reached.

    `kinds` maps every subject to the kinds of backup that it has.

    Raises:
        SecretMissing: a replication role's password can't be read.
    """

    def __init__(self, config: Config, targets: Mapping[str, Target]) -> None:
        self._config = config
        self._targets = dict(targets)
        self._clusters = {database.name: database.cluster for database in config.databases}
        for cluster in config.backup.clusters:
            subject = subject_of_cluster(cluster)
            self._targets[subject] = _of_cluster(config, cluster, targets)
            self._clusters[subject] = cluster
        self.kinds: Mapping[str, tuple[Kind, ...]] = {
            subject: kinds_of(subject) for subject in self._targets
        }

    def target(self, subject: str, kind: Kind) -> Target:
        """How the role that backs it up reaches a subject.

        Raises:
            BackupFailed: no such subject, or it has no such kind.
        """
        if subject not in self._targets:
            known = ", ".join(sorted(self._targets))
            raise BackupFailed(f"no database {subject!r} in the configuration; there is {known}")
        if kind not in self.kinds[subject]:
            has = " and ".join(self.kinds[subject])
            other = "a base backup is of a cluster" if kind == "base" else "dumps are of databases"
            raise BackupFailed(f"{subject} has {has} backups only: {other}")
        return self._targets[subject]

    def any_target(self) -> Target:
        """Some target, for work that asks no server: decoding what is on disk."""
        return next(iter(self._targets.values()))

    def cluster(self, subject: str) -> str:
        """The cluster of a subject that there is."""
        return self._clusters[subject]

    def places(self) -> Iterator[Place]:
        """Where a dead daemon's sessions may still work."""
        for subject, target in self._targets.items():
            yield Place(subject, target)


def _of_cluster(config: Config, cluster: str, targets: Mapping[str, Target]) -> Target:
    """The replication role where one is set: it makes base backups, and holds their locks."""
    first = next(database for database in config.databases if database.cluster == cluster)
    login = config.backup.clusters[cluster].replication
    return target_of(first, login) if login else targets[first.name]
