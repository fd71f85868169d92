"""Owns which backups, and which WAL, may go. Pure: given a history and a time, deletes nothing.

A backup stays when any rule wants it, and so does what it needs: its parents, and WAL from its
start on. When something is wrong (the last run failed, the clock moved, backups stopped, the
state was lost) nothing goes at all: then old ones may be all there is.

The same rules judge what is here and copies elsewhere; each place brings its own `Keep`.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from itertools import chain

from shippyard.backup.keepable import Clockwork, Keepable, WalUser
from shippyard.backup.model import SPOILT, Kind
from shippyard.config.models import Keep, KeepByKind

CLOCK_SLACK = timedelta(hours=1)
"""A clock that is off by more is not believed."""

CONFIRM = "shippyard ctl backup prune --confirm-clock"

_SEGMENT = re.compile(r"([0-9A-F]{8})([0-9A-F]{16})(?:\..+)?")
_SPOILT = frozenset[str](SPOILT)


@dataclass(frozen=True)
class Decision:
    """Whether one published backup stays, and why."""

    id: str
    database: str
    kind: Kind
    keep: bool
    why: str


@dataclass(frozen=True)
class WalDecision:
    """Whether one file of the WAL archive stays, and why."""

    name: str
    keep: bool
    why: str


Wanted = tuple[Keepable, str]
_AS_THE_OTHERS = KeepByKind()
_NOTHING_NOTED = Clockwork()


def select_expired(
    backups: Iterable[Keepable],
    policy: Keep,
    now: datetime,
    *,
    by_kind: KeepByKind = _AS_THE_OTHERS,
    clock: Clockwork = _NOTHING_NOTED,
    frozen: str | None = None,
) -> list[Decision]:
    """One decision for every backup that counts, newest first within its database and kind.

    `backups` is the whole history of one place, failed attempts too: they stop anything from
    going. `frozen` says why nothing may go whatever the rules say. Delete in the order given:
    then nothing is ever without its parent.
    """
    groups: dict[tuple[str, Kind], list[Keepable]] = defaultdict(list)
    for backup in backups:
        groups[backup.database, backup.kind].append(backup)
    return [
        decision
        for key in sorted(groups)
        for decision in _judge(
            _Group(groups[key], keep_for(policy, by_kind, key[1]), now, clock), frozen
        )
    ]


def keep_for(policy: Keep, by_kind: KeepByKind, kind: Kind) -> Keep:
    """The policy of one kind: its own, else the one of all."""
    own = {"dump": by_kind.dump, "schema": by_kind.schema_, "base": by_kind.base}
    return own[kind] or policy


def wal_needed_from(bases: Iterable[WalUser]) -> dict[int, str]:
    """The first segment that is needed of each timeline a base backup was taken on.

    Of a timeline without one, what is needed follows from those before it: it may branch off
    from any of them. See `select_expired_wal`.
    """
    first: dict[int, str] = {}
    for base in bases:
        if base.wal_first is not None:
            timeline = int(base.wal_first[:8], 16)
            first[timeline] = min(first.get(timeline, base.wal_first), base.wal_first)
    return first


def select_expired_wal(
    names: Iterable[str], bases: Sequence[WalUser], *, frozen: str | None = None
) -> list[WalDecision]:
    """One decision for every file of a cluster's WAL archive, in the order given.

    `bases` are all base backups that stay. From the start of the oldest one on every segment of
    its timeline and later ones stays, because any second since may be asked for. Histories of
    timelines always stay, and so does what is no segment.
    """
    frozen = frozen or _why_no_wal_goes(bases)
    needed = wal_needed_from(bases)
    return [_judge_wal(name, needed, frozen) for name in names]


def _why_no_wal_goes(bases: Sequence[WalUser]) -> str | None:
    if not bases:
        return "no base backup says what is needed"
    unknown = next((base.id for base in bases if base.wal_first is None), None)
    return f"{unknown} does not say what it needs" if unknown else None


def _judge_wal(name: str, needed: Mapping[int, str], frozen: str | None) -> WalDecision:
    segment = _SEGMENT.fullmatch(name)
    if segment is None:
        return WalDecision(name, keep=True, why="not a segment")
    if frozen:
        return WalDecision(name, keep=True, why=frozen)
    timeline, position = int(segment.group(1), 16), segment.group(2)
    users = [first for tl, first in needed.items() if tl <= timeline and first[8:24] <= position]
    if users:
        return WalDecision(name, keep=True, why=f"needed since {min(users)}")
    return WalDecision(name, keep=False, why="older than every base backup that is kept")


class _Group:
    """The backups of one subject and kind, newest first, under one policy.

    Those that a wrong clock dated (`misdated`) stay and take nobody's place. `whole` are those of
    the others whose parents are all there.
    """

    def __init__(
        self, history: Iterable[Keepable], keep: Keep, now: datetime, clock: Clockwork
    ) -> None:
        newest_first = sorted(history, key=_age, reverse=True)
        self.keep = keep
        self.now = now
        self.clock = clock
        self.youngest = now - timedelta(days=keep.days)
        self.by_id = {backup.id: backup for backup in newest_first}
        self.misdated = [b for b in newest_first if self._is_misdated(b.started_at)]
        self.present = [b for b in newest_first if not self._is_misdated(b.started_at)]
        self.counted = [b for b in newest_first if b.counts]

    @cached_property
    def relied_on(self) -> list[Keepable]:
        """Those that count and whose date is believed."""
        return [b for b in self.present if b.counts]

    @cached_property
    def whole(self) -> list[Keepable]:
        """Those of them that can be restored: every parent counts."""
        return [b for b in self.relied_on if self._is_whole(b)]

    def parents(self, backup: Keepable) -> Iterator[Keepable]:
        """Its parent, that one's parent, and so on, as far as they are known."""
        seen = {backup.id}
        while backup.parent in self.by_id and backup.parent not in seen:
            backup = self.by_id[backup.parent]
            seen.add(backup.id)
            yield backup

    def root(self, backup: Keepable) -> str:
        """The full backup that it comes from."""
        return [backup, *self.parents(backup)][-1].id

    def _is_misdated(self, at: datetime) -> bool:
        return at > self.now + CLOCK_SLACK or self.clock.misdated(at)

    def _is_whole(self, backup: Keepable) -> bool:
        line = [backup, *self.parents(backup)]
        return line[-1].parent is None and all(each.counts for each in line)


def _judge(group: _Group, frozen: str | None) -> Iterator[Decision]:
    """Decisions on one database and kind."""
    reasons = _reasons_to_stay(group)
    nothing_goes = _why_nothing_goes(group, frozen)
    gone = f"older than {group.keep.days} days, and no daily, weekly, monthly or yearly place left"
    for backup in group.counted:
        why = reasons.get(backup.id) or nothing_goes
        yield Decision(backup.id, backup.database, backup.kind, why is not None, why or gone)


def _reasons_to_stay(group: _Group) -> dict[str, str]:
    """The first rule that wants each backup, or the child that needs it."""
    reasons: dict[str, str] = {}
    for backup, why in chain(_wanted_by_rule(group), _wanted_by_period(group)):
        reasons.setdefault(backup.id, why)
    for child in group.by_id.values():
        if child.id in reasons or _may_count_yet(child, group):
            for parent in group.parents(child):
                reasons.setdefault(parent.id, f"{child.id} needs it")
    return reasons


def _wanted_by_rule(group: _Group) -> Iterator[Wanted]:
    relied_on, whole, least = group.relied_on, group.whole, group.keep.at_least
    yield from ((b, "the newest of its kind") for b in (*relied_on[:1], *whole[:1]))
    yield from ((b, f"held by {b.held_by}") for b in group.counted if b.held_by is not None)
    drilled = [b for b in relied_on if b.drilled_at is not None or b.state == "drilled"]
    yield from ((b, "the newest that a drill has restored") for b in drilled[:1])
    yield from ((b, f"one of the newest {least}") for b in (*relied_on[:least], *whole[:least]))
    yield from _newest_of_each(whole, least, "chain", group.root)
    yield from (
        (b, "a wrong clock dated it: how old it is, is not known")
        for b in group.misdated
        if b.counts
    )
    yield from (
        (b, f"not older than {group.keep.days} days")
        for b in relied_on
        if b.started_at >= group.youngest
    )


def _wanted_by_period(group: _Group) -> Iterator[Wanted]:
    whole, keep = group.whole, group.keep
    yield from _newest_of_each(whole, keep.daily, "daily", lambda b: b.started_at.date())
    yield from _newest_of_each(
        whole, keep.weekly, "weekly", lambda b: b.started_at.isocalendar()[:2]
    )
    yield from _newest_of_each(
        whole, keep.monthly, "monthly", lambda b: (b.started_at.year, b.started_at.month)
    )
    yield from _newest_of_each(whole, keep.yearly, "yearly", lambda b: b.started_at.year)


def _newest_of_each(
    newest_first: Sequence[Keepable],
    places: int,
    name: str,
    period: Callable[[Keepable], object],
) -> Iterator[Wanted]:
    """The newest backup of each of the last `places` periods that have any."""
    seen: set[object] = set()
    for backup in newest_first:
        if len(seen) == places:
            return
        if (key := period(backup)) not in seen:
            seen.add(key)
            yield backup, f"{name} {len(seen)} of {places}"


def _may_count_yet(child: Keepable, group: _Group) -> bool:
    """It is being made, or its files are away and may come back."""
    away = child.state in ("missing", "damaged") and child.started_at >= group.youngest
    return away or not child.is_finished


def _why_nothing_goes(group: _Group, frozen: str | None) -> str | None:
    """What forbids deleting anything of this history, or None."""
    if frozen:
        return f"nothing goes: {frozen}"
    return _distrusted_clock(group) or _troubled_history(group)


def _distrusted_clock(group: _Group) -> str | None:
    now, expected, since = group.now, group.clock.expected, group.clock.right_since
    if expected is not None and abs(now - expected) > CLOCK_SLACK:
        return (
            f"the clock jumped: it shows {now:%Y-%m-%d %H:%M}, not {expected:%Y-%m-%d %H:%M}; "
            f"when it is right, run: {CONFIRM}"
        )
    if expected is None and group.misdated:
        return f"{group.misdated[0].id} is from the future: the clock went back"
    if since and not any(b.started_at >= since for b in group.relied_on):
        return f"the clock was set right at {since:%Y-%m-%d %H:%M}, and no backup is newer"
    return None


def _troubled_history(group: _Group) -> str | None:
    ended = next((backup for backup in group.present if backup.is_finished), None)
    if ended and ended.state in _SPOILT:
        return f"the last run ({ended.id}) is {ended.state}"
    if ended and ended.started_at < group.youngest:
        return f"nothing new for {group.keep.days} days: backups stopped, or the clock jumped"
    return None


def _age(backup: Keepable) -> tuple[datetime, str]:
    return backup.started_at, backup.id
