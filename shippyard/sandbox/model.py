"""Owns what a sandbox is: the Protocol that rooms above use. Knows no machine that runs one."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from shippyard.postgres.target import Target
from shippyard.postgres.tools import Tools


class SandboxFailed(Exception):
    """A sandbox could not be made, confined or started; one line, in PostgreSQL's own words."""


class SandboxUnsafe(SandboxFailed):
    """What was restored would reach out of the sandbox; it was not started."""


@dataclass(frozen=True)
class Recovery:
    """How a restored base backup comes up: `settings` are recovery settings of postgresql.conf.

    Without any the files are started as they are, which only a cleanly stopped cluster allows.
    """

    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Started:
    """How a sandbox came up. `differs` says what is not as in production, one line each.

    `replayed_s` is how long it took until WAL had been replayed, None when there was none;
    `last_transaction_at` when the last transaction in it had been committed.
    """

    elapsed_s: float
    differs: tuple[str, ...] = ()
    replayed_s: float | None = None
    last_transaction_at: datetime | None = None


class Sandbox(Protocol):
    """One scratch cluster. Its folder is 0700 and everything in it is thrown away at the end."""

    @property
    def data_dir(self) -> Path:
        """Where a base backup is restored to, or an empty cluster is made."""
        ...

    @property
    def tablespace_dir(self) -> Path:
        """Where every tablespace is remapped to: a folder each, by its oid."""
        ...

    @property
    def spool_dir(self) -> Path:
        """Where WAL is put for recovery to take."""
        ...

    @property
    def account(self) -> str | None:
        """The account that must be able to read what is put there; None when that is ours."""
        ...

    @property
    def tools(self) -> Tools:
        """The programs it runs."""
        ...

    @property
    def over_budget(self) -> str | None:
        """Why it was ended for taking too much; None while it was not."""
        ...

    def create_empty(self, *, encoding: str | None = None, collation: str | None = None) -> None:
        """Make an empty cluster in `data_dir`, for a dump to be restored into."""
        ...

    def start(
        self,
        *,
        recovery: Recovery | None = None,
        settings: Mapping[str, str] | None = None,
        on_tick: Callable[[], None] | None = None,
    ) -> Started:
        """Confine what is in `data_dir`, start it, wait until it answers (and has promoted).

        `settings` are production's, applied where they are harmless.

        Raises:
            SandboxUnsafe: a link leaves the folder.
            SandboxFailed: it did not come up.
        """
        ...

    def target(self, dbname: str, user: str = "postgres") -> Target:
        """How to reach a database in it."""
        ...

    def stop(self) -> None:
        """Stop it, keep the files; safe twice."""
        ...

    def used_bytes(self) -> int:
        """Disk that it takes now."""
        ...


class SandboxHost(Protocol):
    """A place that can run sandboxes."""

    def open(self, name: str, tools: Tools) -> AbstractContextManager[Sandbox]:
        """A sandbox for the length of a block; whatever is left of it is removed at the end."""
        ...

    def sweep(self) -> list[str]:
        """At start: stop and remove what a dead daemon left; gives the names."""
        ...
