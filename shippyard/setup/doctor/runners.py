"""Owns the check of who runs revisions: a user of their own, or the daemon's."""

from collections.abc import Iterator

from shippyard.migration.launch_isolation import guarded, isolation
from shippyard.setup.doctor.finding import Finding, Level, Patient

CHECK = "runner"


def runners(patient: Patient) -> Iterator[Finding]:
    """Ask the runner behind the socket who it is; without migrations there is nothing to say."""
    migration = patient.config.migration
    if migration is None:
        return
    found = isolation(migration.runner_socket, guarded(patient.config))
    level: Level = "fail" if found.broken else "warn" if found.remedy else "ok"
    yield Finding(CHECK, "", level, found.said, found.remedy)
