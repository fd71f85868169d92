"""Owns who may make a backup now: one of a subject and kind, and one heavy one of a server.

Locks on disk keep one machine's daemons apart, and advisory locks on the server several machines'.
Those live as long as a session of their own, which the work must see to be alive.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shippyard.backup.catalog import Catalog
from shippyard.backup.engines.engine import Engine
from shippyard.backup.layout import Layout
from shippyard.backup.lock import HOUSEKEEPING, TURN_PAUSE_S, UNNAMED, Busy, exclusive, in_turn
from shippyard.backup.model import Backup, BackupFailed
from shippyard.backup.seal import Seal
from shippyard.config.models import Config
from shippyard.host.clock import Clock
from shippyard.host.process import Processes
from shippyard.postgres.locks import (
    BACKUP_LOCK,
    MIGRATION_KEY,
    Locks,
    LockTaken,
    backup_key,
    locks,
)
from shippyard.postgres.target import Target

BRIEF = (HOUSEKEEPING, UNNAMED)
"""Holders that are gone in a moment, and waited for."""
BRIEF_TRIES = 100

Progress = Callable[[Mapping[str, Any]], None]
"""Told the id, the phase and the size so far, at most about five times a second."""


class BackupBusy(BackupFailed):
    """One of the same subject and kind is being made; nothing was attempted."""


class MigrationRuns(BackupBusy):
    """A migration of the database runs; nothing was attempted."""


@dataclass(frozen=True)
class Workshop:
    """What every attempt uses."""

    config: Config
    layout: Layout
    catalog: Catalog
    seal: Seal
    processes: Processes
    clock: Clock


@dataclass(frozen=True)
class Order:
    """What is to be made: `build` gives its engine, `target` is where its locks are taken."""

    planned: Backup
    cluster: str
    target: Target
    build: Callable[[], Engine]

    @property
    def name(self) -> str:
        """In words."""
        return f"{self.planned.kind} backup of {self.planned.database}"

    @property
    def is_heavy(self) -> bool:
        """True for what reads a whole database or server: one at a time of a server."""
        return self.planned.kind != "schema"

    @property
    def excludes_migrations(self) -> bool:
        """A base backup is consistent whatever runs; a dump would wait and make others wait."""
        return self.planned.kind != "base"


@contextlib.contextmanager
def alone(shop: Workshop, order: Order, progress: Progress) -> Iterator[Locks]:
    """Every lock that the work needs, for the length of a block.

    Raises:
        BackupBusy: one of its subject and kind is being made already, or a migration runs.
        Unreachable, QueryFailed: the server gives no lock.
        OSError: the folder gives none.
    """
    with contextlib.ExitStack() as stack:
        try:
            held = _entered(stack, shop, order, progress)
        except Busy as busy:
            raise BackupBusy(
                f"a {order.name} is being made already ({busy}); wait for its end"
            ) from None
        yield held


def _entered(
    stack: contextlib.ExitStack, shop: Workshop, order: Order, progress: Progress
) -> Locks:
    """Take every lock; who holds one for a moment only is waited for."""
    planned = order.planned
    pause = threading.Event()
    for tries_left in reversed(range(BRIEF_TRIES)):
        with contextlib.ExitStack() as mine:
            try:
                lock = shop.layout.lock(planned.database, planned.kind)
                mine.enter_context(exclusive(lock, planned.id))
                mine.enter_context(_turn_of(shop, order, progress))
                held = mine.enter_context(_locked(order))
            except Busy as busy:
                if not tries_left or not any(who in str(busy) for who in BRIEF):
                    raise
            else:
                stack.push(mine.pop_all())
                return held
        pause.wait(TURN_PAUSE_S)
    raise AssertionError("the last try raises")


@contextlib.contextmanager
def _turn_of(shop: Workshop, order: Order, progress: Progress) -> Iterator[None]:
    """One dump or base backup of a server at a time, whoever's it is."""
    if not order.is_heavy:
        yield
        return
    planned = order.planned

    def waiting(before: str) -> None:
        progress({"id": planned.id, "phase": "queued", "message": f"waiting for {before}"})

    with in_turn(
        shop.layout.turn_lock(order.cluster),
        planned.id,
        timeout_s=shop.config.backup.timeout_s,
        given_up=lambda: shop.processes.stopping,
        on_wait=waiting,
    ):
        yield


@contextlib.contextmanager
def _locked(order: Order) -> Iterator[Locks]:
    """The advisory locks, on a session that lives as long as the work."""
    planned = order.planned
    with locks(order.target, f"{BACKUP_LOCK}:{planned.id}") as held:
        try:
            held.take(backup_key(planned.database, planned.kind))
        except LockTaken as taken:
            raise Busy(str(taken)) from None
        if order.excludes_migrations:
            _keep_migrations_out(held, order)
        yield held


def _keep_migrations_out(held: Locks, order: Order) -> None:
    try:
        held.take_shared(MIGRATION_KEY)
    except LockTaken as taken:
        raise MigrationRuns(
            f"a migration of {order.planned.database} runs ({taken}); "
            f"take the {order.name} when it is done"
        ) from None
