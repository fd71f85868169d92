"""Owns which copies are due and which may go. Pure: it is given what is known, and a time.

The rules are retention's; copies have a policy of their own. What that would delete at once is not
copied at all.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType

from shippyard.backup.keepable import Clockwork
from shippyard.backup.model import Backup, Kind
from shippyard.backup.offsite.copies import CopyRecord
from shippyard.backup.retention import Decision, select_expired
from shippyard.config.models import Keep

_NO_PARENTS: Mapping[str, str | None] = MappingProxyType({})


@dataclass(frozen=True)
class Kept:
    """A copy, or one to be made, in retention's words."""

    id: str
    database: str
    kind: Kind
    state: str
    started_at: datetime
    held_by: str | None
    parent: str | None
    drilled_at: datetime | None

    @property
    def counts(self) -> bool:
        """True while it is verified and there."""
        return self.state == "verified"

    @property
    def is_finished(self) -> bool:
        """True once its making has ended, well or not."""
        return self.state != "uploading"


@dataclass(frozen=True)
class Rules:
    """By what copies are judged: the policy, the time, and what is known of the clock."""

    policy: Keep
    now: datetime
    clock: Clockwork
    frozen: str | None


def judge(
    records: Iterable[CopyRecord],
    backups: Mapping[str, Backup],
    rules: Rules,
    *,
    parents: Mapping[str, str | None] = _NO_PARENTS,
) -> list[Decision]:
    """One decision for every verified copy. `backups` are by id: holds stand there.

    `parents` are those that copies name themselves: a catalogue that was lost knows none.
    """
    judged = [_kept(record, backups.get(record.backup_id)) for record in records]
    return _decide([replace(one, parent=parents.get(one.id, one.parent)) for one in judged], rules)


def due(backups: Iterable[Backup], records: Sequence[CopyRecord], rules: Rules) -> list[Backup]:
    """Backups that count and want a copy, newest first; parents of incremental ones before them.

    One whose copy retention deleted is not copied again.
    """
    known = {record.backup_id: record for record in records}
    by_id = {backup.id: backup for backup in backups}
    counted = [backup for backup in by_id.values() if backup.counts]
    wanting = [b for b in counted if b.id not in known or known[b.id].state in _NOT_DONE]
    there = [record for record in records if record.state == "verified"]
    judged = [_kept(record, by_id.get(record.backup_id)) for record in there]
    judged += [_to_be(backup) for backup in wanting]
    stays = {decision.id for decision in _decide(judged, rules) if decision.keep}
    wanted = sorted((b for b in wanting if b.id in stays), key=_age, reverse=True)
    return _parents_first(wanted)


_NOT_DONE = ("uploading", "failed")


def _decide(judged: Iterable[Kept], rules: Rules) -> list[Decision]:
    return select_expired(judged, rules.policy, rules.now, clock=rules.clock, frozen=rules.frozen)


def _kept(record: CopyRecord, backup: Backup | None) -> Kept:
    return Kept(
        record.backup_id,
        record.database,
        record.kind,
        record.state,
        record.started_at,
        backup.held_by if backup else None,
        backup.parent if backup else None,
        backup.drilled_at if backup else None,
    )


def _to_be(backup: Backup) -> Kept:
    """A copy as it would be, were it made."""
    return Kept(
        backup.id,
        backup.database,
        backup.kind,
        "verified",
        backup.started_at,
        backup.held_by,
        backup.parent,
        backup.drilled_at,
    )


def _parents_first(backups: Sequence[Backup]) -> list[Backup]:
    """An incremental copy without its parent is nothing, so the parent goes ahead of it."""
    waiting = {backup.id: backup for backup in backups}
    ordered: dict[str, Backup] = {}
    for backup in backups:
        line = [backup]
        while (parent := line[-1].parent) in waiting and parent not in ordered:
            line.append(waiting[str(parent)])
        ordered |= {each.id: each for each in reversed(line) if each.id not in ordered}
    return list(ordered.values())


def _age(backup: Backup) -> tuple[datetime, str]:
    return backup.started_at, backup.id
