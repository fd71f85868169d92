"""Owns what is known of one database right now: up or not, each check's last run, findings.

Written by the database's poller, read by whoever asks; safe from any thread.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from shippyard.health.model import Finding, Lack


@dataclass(frozen=True)
class CheckStatus:
    """How a check's last run went. `age_s` is the time since it last succeeded, None if never.

    `lack` is what is missing for it here: then it is not asked, and that is no failure of it.
    """

    name: str
    ok: bool
    age_s: float | None
    duration_s: float | None
    error: str | None
    lack: Lack | None = None


@dataclass(frozen=True)
class PollerStatus:
    """What is known of one database. `error` says why it is not up; findings are by rule."""

    name: str
    cluster: str
    up: bool
    error: str | None
    server_version: str | None
    checks: tuple[CheckStatus, ...]
    findings: Mapping[str, Finding]


@dataclass(frozen=True)
class _Run:
    duration_s: float
    error: str | None
    succeeded_at: float | None
    lack: Lack | None = None


@dataclass(frozen=True)
class _Known:
    up: bool = False
    error: str | None = "not connected yet"
    server_version: str | None = None
    runs: Mapping[str, _Run] = field(default_factory=dict)
    findings: Mapping[str, Finding] = field(default_factory=dict)


class Board:
    """The newest of everything about one database."""

    def __init__(self, name: str, cluster: str) -> None:
        self._name = name
        self._cluster = cluster
        self._lock = threading.Lock()
        self._known = _Known()

    @property
    def up(self) -> bool:
        """Whether there is a connection that answers."""
        return self._known.up

    def came_up(self, server_version: int) -> None:
        """There is a connection; `server_version` is as `server_version_num`."""
        version = f"{server_version // 10_000}.{server_version % 10_000}"
        with self._lock:
            self._known = replace(self._known, up=True, error=None, server_version=version)

    def went_down(self, error: str) -> None:
        """There is none: what was found is not known any more, when it last worked still is."""
        with self._lock:
            runs = {name: replace(run, error=error) for name, run in self._known.runs.items()}
            self._known = replace(self._known, up=False, error=error, runs=runs, findings={})

    def succeeded(self, check: str, duration_s: float, at: float) -> None:
        """A check answered; `at` is monotonic."""
        self._ran(check, _Run(duration_s, None, at))

    def failed(self, check: str, duration_s: float, error: str) -> bool:
        """A check gave no answer; true when that is news."""
        before = self._known.runs.get(check)
        self._ran(check, _Run(duration_s, error, before.succeeded_at if before else None))
        return before is None or before.error is None

    def lacking(self, check: str, lack: Lack) -> bool:
        """A check can't be asked here; true when that is news."""
        before = self._known.runs.get(check)
        self._ran(check, _Run(0.0, lack.says, before.succeeded_at if before else None, lack))
        return before is None or before.lack != lack

    def found(self, rule: str, finding: Finding | None) -> None:
        """What a look at a rule showed; None when nothing is wrong, or nothing is known."""
        with self._lock:
            others = {name: kept for name, kept in self._known.findings.items() if name != rule}
            findings = {**others, rule: finding} if finding else others
            self._known = replace(self._known, findings=findings)

    def status(self, now: float) -> PollerStatus:
        """Everything, with ages as of `now` (monotonic)."""
        known = self._known
        return PollerStatus(
            self._name,
            self._cluster,
            known.up,
            known.error,
            known.server_version,
            tuple(_told(name, run, now) for name, run in sorted(known.runs.items())),
            known.findings,
        )

    def _ran(self, check: str, run: _Run) -> None:
        with self._lock:
            self._known = replace(self._known, runs={**self._known.runs, check: run})


def _told(name: str, run: _Run, now: float) -> CheckStatus:
    age_s = None if run.succeeded_at is None else now - run.succeeded_at
    return CheckStatus(name, run.error is None, age_s, run.duration_s, run.error, run.lack)
