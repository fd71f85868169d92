"""Owns when a backup or a drill is late. Pure.

Late is what missed its time on the calendar, and what is older than half of what may be lost. Where
the calendar itself is slower than that, nobody could act on it: then one round of it is allowed,
and that the promise can't be kept is said as such. What was turned off is never late.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shippyard.backup.drill.objectives import WARN_RATIO, said
from shippyard.backup.model import Backup, Kind
from shippyard.calendar.due import Schedule, latest_due, next_due

GRACE_RATIO = 0.1
GRACE_LEAST_S = 60.0
GRACE_MOST_S = 2 * 3600.0
"""How late may be what is begun on time: it takes a while, and has others before it."""
BEGIN_S = 900.0
"""After so long it should at least have begun."""


@dataclass(frozen=True)
class Expected:
    """What one kind of one subject should be like.

    `watched_since` is from when on it was expected at all, `up_since` from when on this daemon
    could do it. `rpo_s` is what may be lost, where nothing but these backups bounds it.
    """

    subject: str
    kind: Kind
    schedules: tuple[Schedule, ...]
    watched_since: datetime
    up_since: datetime
    rpo_s: float | None = None


def how_late(expected: Expected, newest_first: Sequence[Backup], now: datetime) -> str | None:
    """Why a kind of backup is late, in one line; None when it is not.

    `newest_first` is every attempt at this kind. One that failed is not late: that is said by who
    made it, until the last good one is too old.
    """
    if not expected.schedules:
        return None
    attempts = [b for b in newest_first if b.started_at <= now]
    return _missed(expected, attempts, now) or _too_old(expected, attempts, now)


def drill_late(
    expected: Expected, last: datetime | None, now: datetime, *, may_take_s: float
) -> str | None:
    """Why drills of a subject are late; `last` is when the newest was begun, however it ended."""
    if not expected.schedules:
        return None
    due = _due(expected, now)
    settled = max(due, expected.up_since) + timedelta(seconds=may_take_s)
    if due < expected.watched_since or now < settled or (last and last >= due):
        return None
    ago = "never" if last is None else f"last {said((now - last).total_seconds())} ago"
    return (
        f"the drill of {_time(due)} was missed ({ago}); "
        f"run: shippyard ctl drill run {expected.subject}"
    )


def promised_too_much(schedules: Sequence[Schedule], rpo_s: float, now: datetime) -> str | None:
    """Why dumps on these schedules can't keep what is promised; None when they can."""
    if not schedules:
        return None
    every_s = _every_s(schedules, now)
    if every_s <= rpo_s:
        return None
    return (
        f"a dump every {said(every_s)} and no WAL can't keep what is promised, to lose at most "
        f"{said(rpo_s)}; keep WAL too (backup.clusters), or dump more often"
    )


def grace_s(every_s: float) -> float:
    """How much older than its round a backup may get."""
    return min(max(every_s * GRACE_RATIO, GRACE_LEAST_S), GRACE_MOST_S)


def _missed(expected: Expected, attempts: Sequence[Backup], now: datetime) -> str | None:
    """Its time came and went, and nothing was begun."""
    due = _due(expected, now)
    begin_s = min(BEGIN_S, grace_s(_every_s(expected.schedules, now)))
    settled = max(due, expected.up_since) + timedelta(seconds=begin_s)
    begun = any(b.started_at >= due for b in attempts)
    if begun or now < settled or due < expected.watched_since:
        return None
    return f"the {expected.kind} of {_time(due)} was missed; {_remedy(expected)}"


def _too_old(expected: Expected, attempts: Sequence[Backup], now: datetime) -> str | None:
    every_s = _every_s(expected.schedules, now)
    limit_s = max((expected.rpo_s or 0.0) * WARN_RATIO, every_s + grace_s(every_s))
    newest = next((b for b in attempts if b.counts), None)
    since = newest.started_at if newest else expected.watched_since
    age_s = (now - since).total_seconds()
    if age_s <= limit_s:
        return None
    what = f"the newest {expected.kind} is" if newest else f"there has been no {expected.kind} for"
    promised = f", at most {said(expected.rpo_s)} may be lost" if expected.rpo_s else ""
    old = " old" if newest else ""
    return f"{what} {said(age_s)}{old}{promised}; {_remedy(expected)}"


def _remedy(expected: Expected) -> str:
    return f"run: shippyard ctl backup run {expected.subject} --kind {expected.kind}"


def _due(expected: Expected, now: datetime) -> datetime:
    return max(latest_due(schedule, now) for schedule in expected.schedules)


def _every_s(schedules: Sequence[Schedule], now: datetime) -> float:
    """How far apart due times are, about now."""
    return min((next_due(s, now) - latest_due(s, now)).total_seconds() for s in schedules)


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}Z"
