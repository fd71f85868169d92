"""Owns what every drill works with: its time, its programs, the backup's files, what it is told.

Knows neither dumps nor base backups.
"""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from shippyard.backup.drill.model import DrillFailed, DrillInterrupted, DrillRefused, Findings, Look
from shippyard.backup.manifest import Manifest, ManifestUnusable
from shippyard.backup.model import Backup
from shippyard.backup.restore.physical import WalSource
from shippyard.backup.seal import Seal
from shippyard.config.models import Config
from shippyard.host.clock import Clock
from shippyard.host.process import Processes
from shippyard.postgres.target import Target
from shippyard.postgres.tools import Tools, installed_tools
from shippyard.sandbox.model import Sandbox, SandboxHost

NEEDED = ("postgres", "pg_dump", "pg_restore", "pg_controldata")

Progress = Callable[[Mapping[str, Any]], None]
WalOf = Callable[[str], WalSource | None]


class Backups(Protocol):
    """What a drill asks of the backups, and tells them."""

    def history(self, subject: str | None = None) -> list[Backup]:
        """Every attempt that is remembered, newest first."""
        ...

    def find(self, backup_id: str) -> Backup:
        """The backup with this id."""
        ...

    def path(self, backup: Backup) -> Path:
        """Where its files are, or were."""
        ...

    def mark_drilled(self, backup_id: str, at: datetime, *, ok: bool, detail: str = "") -> Backup:
        """Note how a drill of it ended."""
        ...


class Fetching(Protocol):
    """Backups off this machine."""

    def fetch(self, backup_id: str, into: Path) -> Path:
        """A local folder equal to the published one."""
        ...

    def manifest(self, backup_id: str) -> Manifest:
        """The manifest of a copy."""
        ...


@dataclass(frozen=True)
class Bench:
    """The parts that drills are made with. `targets` reach production, read-only, by database."""

    config: Config
    processes: Processes
    clock: Clock
    seal: Seal
    host: SandboxHost
    backups: Backups
    wal_of: WalOf
    offsite: Fetching | None
    targets: Mapping[str, Target]


@dataclass
class Work:
    """One drill under way."""

    bench: Bench
    backup: Backup
    sandbox: Sandbox
    findings: Findings
    progress: Progress
    deadline: float
    started_at: datetime
    expected_s: Mapping[str, float] = field(default_factory=dict)
    superuser: str = "postgres"
    """A role of what was restored that may do everything; a base backup brings its own."""

    @property
    def left_s(self) -> float:
        """Seconds until it must be over.

        Raises:
            DrillInterrupted: none are left.
        """
        left = self.deadline - self.bench.clock.monotonic()
        if left <= 0:
            raise DrillInterrupted("its time ran out; raise backup.drill.timeout_s")
        return left

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure what is done in the block."""
        self.tell(name)
        begun = self.bench.clock.monotonic()
        try:
            yield
        finally:
            elapsed_s = self.bench.clock.monotonic() - begun
            self.findings.phases[name] = self.findings.phases.get(name, 0.0) + elapsed_s

    def tell(self, phase: str, message: str = "") -> None:
        """Say how far it is, with what past drills say of the rest."""
        done = set(self.findings.phases)
        rest_s = sum(s for name, s in self.expected_s.items() if name not in done)
        eta = f"about {rest_s:.0f} s to go" if rest_s else ""
        said = ", ".join(part for part in (message, eta) if part)
        self.progress({"phase": phase, "message": said, "id": self.backup.id})

    def tick(self) -> None:
        """Called while something long goes on: gives up when it has to.

        Raises:
            DrillInterrupted: the daemon stops, or the time ran out.
            DrillFailed: the sandbox takes too much disk.
        """
        if self.bench.processes.stopping:
            raise DrillInterrupted("the daemon is stopping")
        if self.sandbox.over_budget:
            raise DrillInterrupted(f"the sandbox was ended: {self.sandbox.over_budget}")
        assert self.left_s > 0

    def look(self, what: str, problems: Sequence[str], detail: str = "") -> None:
        """Note what a comparison found."""
        self.findings.looks.append(Look(what, tuple(problems), detail))

    def files_of(self, backup: Backup) -> tuple[Path, Manifest]:
        """A local folder with a backup's files, and its manifest; fetched if it is not here.

        Raises:
            DrillFailed: it is nowhere, or can't be trusted.
        """
        folder = self.bench.backups.path(backup)
        try:
            if not folder.is_dir() and self.bench.offsite:
                into = self.sandbox.spool_dir / "fetched"
                into.mkdir(exist_ok=True, mode=0o700)
                folder = self.bench.offsite.fetch(backup.id, into)
            return folder, self.bench.seal.read(folder)
        except (ManifestUnusable, OSError) as error:
            raise DrillFailed(f"{backup.id}: {error}") from None


Then = Callable[[Work], None]


def sandbox_tools(bench: Bench, server_major: int, *, exactly: bool) -> Tools:
    """Programs to run a sandbox for a backup: of the server's own major, or if that will do newer.

    Raises:
        DrillRefused: there are none; says what to install.
    """
    found = installed_tools(bench.processes, bench.config.tools_dirs, program="initdb")
    able = [t for t in found if all(Path(t.path(name)).is_file() for name in NEEDED)]
    fit = [t for t in able if t.major == server_major or (t.major > server_major and not exactly)]
    if not fit:
        raise DrillRefused(
            f"no PostgreSQL {server_major} server programs on this machine to restore into; "
            f"install postgresql-{server_major}, or name their folder in tools_dirs"
        )
    return min(fit, key=lambda tools: tools.major)


def major_of(manifest: Manifest) -> int:
    """The major version of the server that was backed up."""
    number = re.match(r"\d+", manifest.source.server_version)
    return int(number.group()) if number else manifest.made.tool_major
