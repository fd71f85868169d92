"""Owns which backups may go. Pure: it is given a history and a time, and deletes nothing.

A backup stays when any rule wants it. When something is wrong (the last run failed, the clock
moved, backups stopped) nothing goes at all: then old ones may be all there is.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain

from shippyard.backup.model import SPOILT, Backup, Kind
from shippyard.config.models import Keep

Wanted = tuple[Backup, str]


@dataclass(frozen=True)
class Decision:
    """Whether one published backup stays, and why."""

    id: str
    database: str
    kind: Kind
    keep: bool
    why: str


def select_expired(backups: Iterable[Backup], policy: Keep, now: datetime) -> list[Decision]:
    """One decision for every backup that counts, newest first within its database and kind.

    `backups` is the whole history, failed attempts too: they stop anything from going.
    """
    groups: dict[tuple[str, Kind], list[Backup]] = defaultdict(list)
    for backup in backups:
        groups[backup.database, backup.kind].append(backup)
    return [decision for key in sorted(groups) for decision in _judge(groups[key], policy, now)]


def _judge(history: Sequence[Backup], policy: Keep, now: datetime) -> Iterator[Decision]:
    """Decisions on one database and kind."""
    newest_first = sorted(history, key=_age, reverse=True)
    counted = [backup for backup in newest_first if backup.counts]
    reasons = _reasons_to_stay(counted, policy, now)
    frozen = _why_nothing_goes(newest_first, policy, now)
    for backup in counted:
        why = reasons.get(backup.id) or frozen
        gone = f"older than {policy.days} days, and no daily, weekly or monthly place left"
        yield Decision(backup.id, backup.database, backup.kind, why is not None, why or gone)


def _reasons_to_stay(counted: Sequence[Backup], policy: Keep, now: datetime) -> dict[str, str]:
    """The first rule that wants each backup; `counted` is newest first."""
    youngest = now - timedelta(days=policy.days)
    wanted: Iterable[Wanted] = chain(
        ((b, "the newest of its kind") for b in counted[:1]),
        ((b, f"held by {b.held_by}") for b in counted if b.held_by is not None),
        ((b, f"one of the newest {policy.at_least}") for b in counted[: policy.at_least]),
        ((b, f"not older than {policy.days} days") for b in counted if b.started_at >= youngest),
        _newest_of_each(counted, policy.daily, "daily", lambda at: at.date().toordinal()),
        _newest_of_each(counted, policy.weekly, "weekly", lambda at: at.isocalendar()[:2]),
        _newest_of_each(counted, policy.monthly, "monthly", lambda at: (at.year, at.month)),
    )
    reasons: dict[str, str] = {}
    for backup, why in wanted:
        reasons.setdefault(backup.id, why)
    return reasons


def _newest_of_each(
    counted: Sequence[Backup], places: int, name: str, period: Callable[[datetime], object]
) -> Iterator[Wanted]:
    """The newest backup of each of the last `places` periods that have any."""
    seen: set[object] = set()
    for backup in counted:
        if len(seen) == places:
            return
        if (key := period(backup.started_at)) not in seen:
            seen.add(key)
            yield backup, f"{name} {len(seen)} of {places}"


def _why_nothing_goes(newest_first: Sequence[Backup], policy: Keep, now: datetime) -> str | None:
    """What forbids deleting anything of this history, or None."""
    if newest_first[0].started_at > now:
        return f"{newest_first[0].id} is from the future: the clock went back"
    ended = next((backup for backup in newest_first if backup.is_finished), None)
    if ended and ended.state in SPOILT:
        return f"the last run ({ended.id}) is {ended.state}"
    if ended and ended.started_at < now - timedelta(days=policy.days):
        return f"nothing new for {policy.days} days: backups stopped, or the clock jumped"
    return None


def _age(backup: Backup) -> tuple[datetime, str]:
    return backup.started_at, backup.id
