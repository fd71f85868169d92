"""Owns carrying out what retention decides: tombstones first, then the files."""

import contextlib
from collections.abc import Callable, Collection
from dataclasses import dataclass

from shippyard.backup.catalog import Overtaken
from shippyard.backup.clockwatch import Clockwatch
from shippyard.backup.gauges import Gauges
from shippyard.backup.lock import UNNAMED, Busy, exclusive
from shippyard.backup.model import Backup, BackupFailed
from shippyard.backup.reconcile import finish_deletions
from shippyard.backup.retention import Decision, select_expired
from shippyard.backup.subjects import Subjects
from shippyard.backup.turns import Workshop
from shippyard.postgres.session import one_line


@dataclass(frozen=True)
class Pruned:
    """What retention decided, and the ids that were deleted."""

    decisions: tuple[Decision, ...]
    deleted: tuple[str, ...]


class Pruning:
    """Deletes what no rule keeps. `frozen` says why nothing may go, whatever the rules say."""

    def __init__(
        self,
        shop: Workshop,
        subjects: Subjects,
        gauges: Gauges,
        clockwatch: Clockwatch,
        frozen: Callable[[], str | None],
    ) -> None:
        self._shop = shop
        self._subjects = subjects
        self._gauges = gauges
        self._clockwatch = clockwatch
        self._frozen = frozen

    def prune(self, unseen: Collection[str], *, apply: bool) -> Pruned:
        """What retention would delete; with `apply`, delete it. `unseen` subjects are left out.

        Raises:
            BackupFailed: somebody else is pruning, or files could not be deleted.
        """
        known = {
            backup.id: backup
            for backup in self._shop.catalog.all()
            if backup.database in self._subjects.kinds and backup.database not in unseen
        }
        decisions = self._decide(known.values())
        doomed = [known[d.id] for d in decisions if not d.keep]
        deleted = self._delete(doomed) if apply and doomed else []
        return Pruned(tuple(decisions), tuple(deleted))

    def confirm_clock(self) -> None:
        """From now on the clock is believed again, though it jumped."""
        self._clockwatch.accept(self._shop.clock.now())

    def _decide(self, known: Collection[Backup]) -> list[Decision]:
        now, settings = self._shop.clock.now(), self._shop.config.backup
        return select_expired(
            known,
            settings.keep,
            now,
            by_kind=settings.keep_by_kind,
            clock=self._clockwatch.look(now),
            frozen=self._frozen(),
        )

    def _delete(self, doomed: list[Backup]) -> list[str]:
        """In the order that retention gave. A crash leaves nothing that is half there and counts.

        What was held, or changed, since it was judged stays.
        """
        catalog, layout = self._shop.catalog, self._shop.layout
        try:
            with exclusive(layout.prune_lock(), "pruning"):
                for backup in doomed:
                    with contextlib.suppress(Overtaken):
                        catalog.expire(backup)
                deleted = finish_deletions(catalog, layout)
        except Busy as busy:
            raise BackupFailed(_busy(str(busy))) from None
        except OSError as error:
            raise BackupFailed(f"can't delete: {one_line(error)}") from None
        finally:
            self._gauges.show_all()
        for backup in filter(None, map(catalog.get, deleted)):
            self._gauges.count_deleted(backup.database, backup.kind)
        return deleted


def _busy(holder: str) -> str:
    if holder == UNNAMED:
        return "a restore reads backups, so nothing is deleted; prune when it is done"
    return f"backups are being pruned already ({holder})"
