"""Owns what a rehearsal asks of whoever restores backups: Protocols, answered by another room."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from shippyard.postgres.target import Target

Progress = Callable[[Mapping[str, Any]], None]


class Restored(Protocol):
    """A backup, restored into a server that is thrown away afterwards."""

    @property
    def backup_id(self) -> str:
        """Which one."""
        ...

    @property
    def until(self) -> datetime | None:
        """Until when everything is in it; None when that is not known."""
        ...

    @property
    def size_bytes(self) -> int:
        """How large the backup is."""
        ...

    @property
    def differs(self) -> tuple[str, ...]:
        """What is not as in production, one line each."""
        ...

    @property
    def phases(self) -> Mapping[str, float]:
        """Seconds that each step of the restore took."""
        ...

    @property
    def superuser(self) -> Target:
        """The restored database, as the role that may do everything."""
        ...

    def as_user(self, user: str) -> Target:
        """The restored database, as one of production's roles."""
        ...

    def must_stop(self) -> str | None:
        """Why it can't go on, in one line: too much disk taken, or the daemon stops."""
        ...


class Restoration(Protocol):
    """How a restore for a rehearsal ended: passed, failed, interrupted or refused."""

    @property
    def outcome(self) -> str:
        """`passed` when the backup came back as it was."""
        ...

    @property
    def backup_id(self) -> str:
        """Which one; empty when there is none."""
        ...

    @property
    def error(self) -> str | None:
        """What was wrong, in one line."""
        ...


class Copies(Protocol):
    """Who restores the newest verified backup, which is a drill of it, too."""

    def on_newest(
        self,
        database: str,
        then: Callable[[Restored], None],
        *,
        progress: Progress,
    ) -> Restoration:
        """Restore, check what came back, and call `then` with it; throw it away afterwards.

        `then` is not called when the backup did not come back as it was.
        """
        ...
