"""Owns what health answers on the socket: `health`, from memory, without asking PostgreSQL."""

import difflib
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from shippyard.control.method import Call, Document, Method, MethodError
from shippyard.health.status import CheckStatus, PollerStatus


class Polled(Protocol):
    """Whoever knows how a database is: its poller."""

    def status(self) -> PollerStatus:
        """What is known of it now."""
        ...


class Visiting(Protocol):
    """Whoever knows how the databases are that are visited: a cluster's rover."""

    def statuses(self) -> list[PollerStatus]:
        """What is known of each now."""
        ...


def build(pollers: Sequence[Polled], rovers: Sequence[Visiting] = ()) -> list[Method]:
    """The methods of this domain."""

    def known() -> list[PollerStatus]:
        visited = [status for rover in rovers for status in rover.statuses()]
        return [*(poller.status() for poller in pollers), *visited]

    def health(call: Call) -> Document:
        statuses = _chosen(known(), call.params.get("database"))
        return {
            "databases": [_database(status) for status in statuses],
            "findings": list(_findings(statuses)),
        }

    return [Method("health", "viewer", health)]


def _chosen(statuses: list[PollerStatus], name: Any) -> list[PollerStatus]:
    if name is None:
        return statuses
    found = [status for status in statuses if status.name == name]
    if not found:
        known = [status.name for status in statuses]
        close = difflib.get_close_matches(str(name), known, n=1) or known
        raise MethodError("usage", f"no database {name!r} is looked at; try {close[0]!r}")
    return found


def _database(status: PollerStatus) -> Document:
    return {
        "name": status.name,
        "cluster": status.cluster,
        "up": status.up,
        "error": status.error,
        "server_version": status.server_version,
        "checks": [_check(check) for check in status.checks],
    }


def _check(check: CheckStatus) -> Document:
    return {
        "name": check.name,
        "ok": check.ok,
        "age_s": None if check.age_s is None else round(check.age_s, 3),
        "duration_s": None if check.duration_s is None else round(check.duration_s, 4),
        "error": check.error,
        "lacks": check.lack.reason if check.lack else None,
    }


def _findings(statuses: Iterable[PollerStatus]) -> Iterable[Document]:
    for status in statuses:
        for rule, finding in sorted(status.findings.items()):
            yield {
                "rule": rule,
                "database": status.name,
                "summary": finding.summary,
                "evidence": dict(finding.evidence),
            }
