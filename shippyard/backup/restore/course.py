"""Owns what every restore is made of: the means, the place it goes to, and what comes of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from shippyard.backup.manifest import Manifest
from shippyard.backup.restore.archive import Progress
from shippyard.backup.restore.assess import Assessment, Situation, Wanted
from shippyard.backup.restore.elsewhere import RepositoryOf
from shippyard.backup.restore.handback import Handback
from shippyard.backup.restore.shelf import Shelf, Shelved
from shippyard.host.clock import Clock
from shippyard.host.process import Processes

Forecast = Callable[[Manifest], float | None]
"""How many seconds a restore of this backup takes, as drills measured; None without any."""


@dataclass(frozen=True)
class Means:
    """What a restore works with. `scratch` holds what is fetched or unpacked on the way.

    `place` is what the shelf is called in a command. `repository_of` gives what keeps a cluster's
    base backups and WAL when we don't.
    """

    shelf: Shelf
    place: str
    processes: Processes
    clock: Clock
    jobs: int = 2
    timeout_s: float = 6 * 3600.0
    digest_timeout_s: float = 1800.0
    tools_dirs: tuple[Path, ...] = ()
    scratch: Path | None = None
    repository_of: RepositoryOf = lambda _: None
    forecast: Forecast = lambda _: None


@dataclass(frozen=True)
class Done:
    """What was restored. `differences` make it wrong, `surroundings` are for a person to mend.

    `compared` says what was compared, in a few words. `reached` is where recovery ended.
    """

    handback: Handback
    compared: str
    differences: tuple[str, ...] = ()
    surroundings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    reached: str | None = None
    phases: dict[str, float] = field(default_factory=dict)


class Place(Protocol):
    """Where something is restored to. A place is for one restore."""

    @property
    def name(self) -> str:
        """What a person calls it; what they type to confirm."""
        ...

    @property
    def address(self) -> str:
        """The same on every way to it: one restore at a time goes there."""
        ...

    def look(self, wanted: Wanted, shelved: Shelved) -> Situation:
        """What is there, which backup would be restored, and what stands against it."""
        ...

    def restore(self, assessment: Assessment, progress: Progress) -> Done:
        """Restore, compare, and hand back.

        Raises:
            RestoreFailed: it did not succeed; says what is left.
        """
        ...

    def answers(self) -> bool:
        """Whether what was restored reads and writes, where a person would use it."""
        ...
