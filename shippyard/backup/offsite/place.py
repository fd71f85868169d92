"""Owns keeping one place right: the table agrees with the store, and what may go goes.

Runs once a day and on demand, never beside itself. Knows no schedule.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

import structlog

from shippyard.backup.keepable import Clockwork
from shippyard.backup.model import Backup
from shippyard.backup.offsite.copies import Copies, CopyRecord, CopyState, found
from shippyard.backup.offsite.keeping import Rules, judge
from shippyard.backup.offsite.objects import OffsiteFailed
from shippyard.backup.offsite.offsite import CopyFound, Offsite
from shippyard.backup.retention import Decision, select_expired_wal
from shippyard.config.models import Keep
from shippyard.host.clock import Clock

log = structlog.get_logger(__name__)

GONE = "it is gone from the store"


class Known(Protocol):
    """What is known of the backups themselves."""

    def history(self, database: str | None = None) -> list[Backup]:
        """Every attempt, newest first."""
        ...

    def frozen(self) -> str | None:
        """Why retention may delete nothing, or None."""
        ...


@dataclass(frozen=True)
class Pruned:
    """What retention decided on copies, what was deleted, and what the bucket would not let go."""

    decisions: tuple[Decision, ...]
    deleted: tuple[str, ...]
    kept_by_store: tuple[tuple[str, str], ...]
    wal_deleted: int


class Place:
    """The copies in one place, kept in order."""

    def __init__(
        self,
        offsite: Offsite,
        copies: Copies,
        backups: Known,
        policy: Keep,
        *,
        clock: Clock,
        look_at_clock: Callable[[datetime], Clockwork],
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        """`beat` is called for every object or copy that is deleted."""
        self._offsite = offsite
        self._copies = copies
        self._backups = backups
        self._policy = policy
        self._clock = clock
        self._look_at_clock = look_at_clock
        self._beat = beat

    def rules(self) -> Rules:
        """By what copies are judged now."""
        now = self._clock.now()
        return Rules(self._policy, now, self._look_at_clock(now), self._backups.frozen())

    def agree(self) -> list[CopyFound]:
        """Take in copies of ours that the table does not know, and note those that are gone.

        Raises:
            OffsiteFailed: the store could not be asked.
        """
        there = self._offsite.list()
        known = {record.backup_id: record for record in self._copies.all()}
        problems = {each.backup_id: each.problem for each in there}
        for each in there:
            if each.index and each.backup_id not in known and self._offsite.is_ours(each):
                self._copies.put(found(each.index, self._offsite.place))
                log.info("offsite.adopted", id=each.backup_id)
        for record in known.values():
            problem = problems.get(record.backup_id, GONE)
            if record.state == "verified" and problem:
                self._copies.put(replace(record, state="failed", error=problem))
                log.error("offsite.copy_lost", id=record.backup_id, reason=problem)
        return there

    def prune(self, *, apply: bool) -> Pruned:
        """What retention of copies would delete; with `apply`, delete it, WAL included.

        Raises:
            OffsiteFailed: the store could not be asked, or refused for another reason than a lock.
        """
        there = self.agree()
        known = {backup.id: backup for backup in self._backups.history()}
        records = {record.backup_id: record for record in self._copies.all()}
        parents = {each.backup_id: each.index.parent for each in there if each.index}
        decisions = judge(records.values(), known, self.rules(), parents=parents)
        if not apply:
            return Pruned(tuple(decisions), (), (), 0)
        doomed = [records[each.id] for each in decisions if not each.keep]
        doomed += [record for record in records.values() if record.state == "expired"]
        outcomes = {record.backup_id: self._delete(record) for record in doomed}
        kept = tuple((id_, why) for id_, why in outcomes.items() if why)
        deleted = tuple(id_ for id_, why in outcomes.items() if not why)
        return Pruned(tuple(decisions), deleted, kept, self._prune_wal(there, decisions))

    def _delete(self, record: CopyRecord) -> str | None:
        """The tombstone first; None once it is deleted, else why the store keeps it."""
        self._beat()
        self._copies.put(replace(record, state="expired"))
        kept = self._offsite.delete(record.backup_id)
        if kept:
            state: CopyState = "verified" if self._is_whole(record.backup_id) else "expired"
            self._copies.put(replace(record, state=state, error=str(kept)))
            return str(kept)
        self._copies.put(replace(record, state="deleted", error=None))
        log.info("offsite.deleted", id=record.backup_id, place=record.place)
        return None

    def _is_whole(self, backup_id: str) -> bool:
        try:
            return self._offsite.find(backup_id).index is not None
        except OffsiteFailed:
            return False

    def _prune_wal(self, there: Sequence[CopyFound], decisions: Sequence[Decision]) -> int:
        """Delete WAL that no base copy needs; those that are not ours to judge need theirs too."""
        goes = {each.id for each in decisions if not each.keep}
        bases: dict[str, list[_Base]] = {}
        for each in there:
            if each.kind == "base" and each.backup_id not in goes:
                first = each.index.wal_first if each.index else None
                bases.setdefault(each.database, []).append(_Base(each.backup_id, first))
        return sum(self._prune_wal_of(subject, users) for subject, users in bases.items())

    def _prune_wal_of(self, subject: str, bases: Sequence["_Base"]) -> int:
        wal = self._offsite.wal_source(subject)
        judged = select_expired_wal(wal.names(), bases, frozen=self._backups.frozen())
        gone = 0
        for each in judged:
            if not each.keep:
                self._beat()
                gone += wal.delete(each.name) is None
        if gone:
            log.info("offsite.wal_deleted", subject=subject, count=gone)
        return gone


@dataclass(frozen=True)
class _Base:
    """A base backup that is kept, and from where on it needs WAL."""

    id: str
    wal_first: str | None


def newest_verified(records: Sequence[CopyRecord]) -> Mapping[tuple[str, str], CopyRecord]:
    """The newest verified copy of each subject and kind; `records` are newest first."""
    newest: dict[tuple[str, str], CopyRecord] = {}
    for record in records:
        if record.state == "verified":
            newest.setdefault((record.database, record.kind), record)
    return newest
