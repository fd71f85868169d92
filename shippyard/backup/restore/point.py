"""Owns the point that a cluster is restored to, and which base backup leads there. Pure.

A point is said in one word: `latest`, a time with its zone, an LSN, `name:X` for a restore point,
`xid:N` for just before a transaction.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from shippyard.backup.manifest import Manifest
from shippyard.backup.restore.line import Line, line_to
from shippyard.backup.wal.names import NameInvalid, format_lsn, parse_lsn

PointKind = Literal["latest", "time", "lsn", "name", "xid"]
FORMS = (
    "latest, 2026-03-04T05:06:07+01:00 (a time with its zone), 0/3000060 (an LSN), "
    "name:before_import (a restore point) or xid:1234 (just before a transaction)"
)
NAME_CHARS_MAX = 63
# Below are those that PostgreSQL keeps for itself.
XID_MIN, XID_MAX = 3, 2**64 - 1


class PointInvalid(Exception):
    """What was asked for is no point in time; one line says how one is written."""


class PointUnreachable(Exception):
    """No kept backup or WAL leads to the point; one line says what is kept."""


@dataclass(frozen=True)
class Point:
    """Where recovery is to end.

    `inclusive` says whether what lies exactly on it is still replayed. `timeline` is `latest` or a
    number: where several histories hold the point, it says which.
    """

    kind: PointKind
    value: str | None = None
    inclusive: bool = True
    timeline: str = "latest"

    def __str__(self) -> str:
        said = {"name": f"restore point {self.value}", "xid": f"before transaction {self.value}"}
        return said.get(self.kind) or self.value or self.kind


LATEST = Point("latest")


def options_of(point: Point) -> tuple[str, ...]:
    """What is typed to ask for it; nothing for the latest."""
    prefix = f"{point.kind}:" if point.kind in ("name", "xid") else ""
    at = ("--at", f"{prefix}{point.value}") if point.value else ()
    return at if point.timeline == "latest" else (*at, "--timeline", point.timeline)


@dataclass(frozen=True)
class Kept:
    """What WAL there is: histories of timelines by number, and the newest moment if it is known."""

    timelines: frozenset[int] = frozenset({1})
    histories: Mapping[int, str] = field(default_factory=dict)
    newest_lsn: int | None = None
    newest_at: datetime | None = None


def parse_point(text: str) -> Point:
    """A point from what a person types.

    Raises:
        PointInvalid: it is none of the forms, or a time without a zone.
    """
    text = text.strip()
    if text == "latest":
        return LATEST
    kind, colon, value = text.partition(":")
    parse = _BY_PREFIX.get(kind)
    if colon and parse:
        return parse(value.strip())
    return _lsn(text) if "/" in text else _time(text)


def moment_of(point: Point) -> datetime:
    """The time of a point of kind `time`."""
    assert point.kind == "time", f"{point} has no time"
    assert point.value is not None, "a time without a value"
    return datetime.fromisoformat(point.value)


def choose_base(bases: Sequence[Manifest], point: Point, kept: Kept) -> Manifest:
    """The base backup that leads to the point with the least replay.

    A restore point and a transaction have no place until they are met in the WAL, so the oldest
    base is right for them: it is before whatever is kept.

    Raises:
        PointUnreachable: none leads there.
        HistoryUnusable: the timeline's history is missing.
    """
    if not bases:
        raise PointUnreachable("there is no base backup; run `shippyard ctl backup run @CLUSTER`")
    line = line_to(timeline_of(point, kept.timelines), kept.histories)
    on_line = sorted((b for b in bases if _is_on(b, line)), key=consistent_at)
    if not on_line:
        raise PointUnreachable(
            f"no base backup is on the way to timeline {line.timeline}; "
            f"restore to another one with --timeline (there are {_listed(kept.timelines)})"
        )
    _refuse_after_end(point, kept)
    if point.kind in ("name", "xid"):
        return on_line[0]
    fit = [base for base in on_line if _is_before(base, point)]
    if not fit:
        raise PointUnreachable(_too_early(point, on_line[0]))
    return fit[-1]


def timeline_of(point: Point, timelines: frozenset[int]) -> int:
    """The timeline that a point is on: the one it names, else the newest.

    Raises:
        PointInvalid: it names none.
        PointUnreachable: nothing of that timeline is kept.
    """
    if point.timeline == "latest":
        return max(timelines, default=1)
    if not point.timeline.isdecimal() or not int(point.timeline):
        raise PointInvalid(f"{point.timeline!r} is no timeline; give `latest` or a number")
    timeline = int(point.timeline)
    if timeline not in timelines:
        raise PointUnreachable(
            f"nothing of timeline {timeline} is kept; there are {_listed(timelines)}"
        )
    return timeline


def consistent_at(base: Manifest) -> datetime:
    """When the files of a base backup were done: recovery can't end before.

    Its verification came after, and is left out.
    """
    return base.verification.finished_at - timedelta(seconds=base.verification.elapsed_s)


def _is_on(base: Manifest, line: Line) -> bool:
    end = base.source.lsn_at_end
    return end is not None and line.holds(base.source.timeline or 1, parse_lsn(end))


def _is_before(base: Manifest, point: Point) -> bool:
    """Whether recovery from this base can end at the point."""
    if point.kind == "time":
        return consistent_at(base) <= moment_of(point)
    if point.kind == "lsn":
        assert base.source.lsn_at_end is not None, f"{base.id} has no end"
        return parse_lsn(base.source.lsn_at_end) <= parse_lsn(str(point.value))
    return True


def _too_early(point: Point, oldest: Manifest) -> str:
    return (
        f"{point} is before the oldest base backup that leads there: {oldest.id} can be restored "
        f"to {consistent_at(oldest):%Y-%m-%dT%H:%M:%S%z} (LSN {oldest.source.lsn_at_end}) or later"
    )


def _refuse_after_end(point: Point, kept: Kept) -> None:
    if point.kind == "time" and kept.newest_at and moment_of(point) > kept.newest_at:
        raise PointUnreachable(
            f"{point} is after what is kept: the newest WAL is of {kept.newest_at.isoformat()}; "
            "restore to `latest`"
        )
    beyond = kept.newest_lsn is not None and point.kind == "lsn"
    if beyond and parse_lsn(str(point.value)) > (kept.newest_lsn or 0):
        raise PointUnreachable(
            f"{point} is after what is kept: the WAL ends at {format_lsn(kept.newest_lsn or 0)}; "
            "restore to `latest`"
        )


def _time(text: str) -> Point:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise PointInvalid(f"{text!r} is no point to restore to; give {FORMS}") from None
    if moment.tzinfo is None:
        raise PointInvalid(f"{text!r} has no time zone; write {text}Z for UTC, or {text}+01:00")
    return Point("time", moment.astimezone(UTC).isoformat())


def _lsn(text: str) -> Point:
    try:
        return Point("lsn", format_lsn(parse_lsn(text)))
    except NameInvalid as error:
        raise PointInvalid(str(error)) from None


def _name(text: str) -> Point:
    # PostgreSQL cuts longer names, and a name in a settings file stands between quotes.
    if not text.isprintable() or not 0 < len(text.encode()) <= NAME_CHARS_MAX or "'" in text:
        raise PointInvalid(
            f"{text!r} is no restore point; pg_create_restore_point() was given its name, "
            f"{NAME_CHARS_MAX} bytes at most"
        )
    return Point("name", text)


def _xid(text: str) -> Point:
    if not re.fullmatch(r"[0-9]{1,20}", text) or not XID_MIN <= int(text) <= XID_MAX:
        raise PointInvalid(f"{text!r} is no transaction; `SELECT pg_current_xact_id()` names one")
    return Point("xid", text, inclusive=False)


def _listed(timelines: frozenset[int]) -> str:
    return ", ".join(str(timeline) for timeline in sorted(timelines)) or "none"


_BY_PREFIX: Mapping[str, Callable[[str], Point]] = {
    "time": _time,
    "lsn": _lsn,
    "name": _name,
    "xid": _xid,
}
