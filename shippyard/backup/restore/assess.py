"""Owns what can be said before a restore: what is recoverable, what is lost, how long, what for.

Pure: everything that was looked at is handed in as a `Situation`. Nothing is decided that a person
could not read in the `Assessment` first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from shippyard.backup.manifest import Manifest
from shippyard.backup.model import LOGICAL, BackupUnknown, Kind
from shippyard.backup.restore.contents import Selection
from shippyard.backup.restore.coverage import Coverage
from shippyard.backup.restore.point import (
    LATEST,
    Point,
    PointUnreachable,
    consistent_at,
    moment_of,
)
from shippyard.backup.restore.shelf import Unusable
from shippyard.backup.wal.names import format_lsn

Way = Literal["dump", "files"]
"""A dump into a database, or a base backup and WAL into a data directory."""

DUMP_GROWS = 8
FILES_GROW = 5
"""How much larger than its compressed backup a database is taken to be; data differ."""

LISTS = "`shippyard ctl backup list` or `shippyard restore --from DIR --list` says what there is"


@dataclass(frozen=True)
class Wanted:
    """What is asked for. `subject` is a database's name or `@cluster`, None when only one is there.

    `backup_id` names one backup instead of the best for the point.
    """

    way: Way
    target: str
    subject: str | None = None
    point: Point = LATEST
    backup_id: str | None = None
    only: Selection | None = None
    kind: Kind | None = None
    accept_loss: bool = False
    """The latest point may be the last one before a hole in the WAL."""


@dataclass(frozen=True)
class Situation:
    """What was looked at. `forecast_s` is what drills measured, None without any.

    `target_state` says what is at the target now; `in_the_way` why nothing may be put there.
    """

    now: datetime
    backups: Sequence[Manifest]
    unusable: Sequence[Unusable] = ()
    target_state: str = ""
    in_the_way: str | None = None
    chosen: Manifest | None = None
    why_none: str | None = None
    coverage: Coverage | None = None
    forecast_s: float | None = None
    free_bytes: int | None = None


@dataclass(frozen=True)
class Assessment:
    """What a person reads before saying yes. `refusals` empty means that it can be done."""

    wanted: Wanted
    state: str
    backups: tuple[Manifest, ...]
    chosen: Manifest | None
    recoverable: tuple[str, ...]
    loss: str
    takes: str
    disk: str
    steps: tuple[str, ...]
    refusals: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    forecast_s: float | None = None
    needed_bytes: int | None = None
    free_bytes: int | None = None


def subject_for(
    wanted: Wanted, backups: Sequence[Manifest], unusable: Sequence[Unusable] = ()
) -> str:
    """Whose backups are meant: the one asked for, or the only one there is.

    Raises:
        BackupUnknown: no backup here has the id that is asked for.
        PointUnreachable: there is none, or several.
    """
    if wanted.backup_id:
        return _holder_of(wanted.backup_id, backups, unusable)
    kinds = ("base",) if wanted.way == "files" else LOGICAL
    subjects = sorted({m.database for m in backups if m.kind in kinds})
    if wanted.subject in subjects:
        return str(wanted.subject)
    if wanted.subject is None and len(subjects) == 1:
        return subjects[0]
    what = "base backup" if wanted.way == "files" else "dump"
    said = ", ".join(subjects) or "none"
    if wanted.subject:
        raise PointUnreachable(f"there is no {what} of {wanted.subject} here; there is: {said}")
    if not subjects:
        raise PointUnreachable(f"there is no {what} here that can be restored; {LISTS}")
    raise PointUnreachable(
        f"there are {what}s of {said}; say whose (--of NAME, or after `ctl restore run`)"
    )


def _holder_of(backup_id: str, backups: Sequence[Manifest], unusable: Sequence[Unusable]) -> str:
    if named := [m.database for m in backups if m.id == backup_id]:
        return named[0]
    if spoilt := [each.why for each in unusable if each.id == backup_id]:
        raise PointUnreachable(f"{backup_id} is here and can't be restored: {spoilt[0]}")
    raise BackupUnknown(f"there is no backup {backup_id} here; {LISTS}")


def choose_dump(dumps: Sequence[Manifest], wanted: Wanted) -> Manifest:
    """The newest dump that is not after the point.

    Raises:
        PointUnreachable: a dump can't lead to such a point, or all are after it.
    """
    if wanted.point.kind not in ("latest", "time"):
        raise PointUnreachable(
            f"a dump is of one moment: {wanted.point} needs a base backup and WAL (--data-dir)"
        )
    kind = wanted.kind or "dump"
    fit = sorted((d for d in dumps if d.kind == kind), key=lambda dump: dump.started_at)
    if wanted.point.kind == "time":
        moment = moment_of(wanted.point)
        if fit and not [d for d in fit if d.started_at <= moment]:
            raise PointUnreachable(
                f"the oldest dump is of {_said(fit[0].started_at)}, after {wanted.point}"
            )
        fit = [dump for dump in fit if dump.started_at <= moment]
    if not fit:
        raise PointUnreachable(f"there is no {kind} of it here; {LISTS}")
    return fit[-1]


def assess(wanted: Wanted, seen: Situation) -> Assessment:
    """What can be done, what it costs, and what stands against it."""
    chosen = seen.chosen
    needed = needed_bytes(chosen) if chosen and not wanted.only else None
    refusals = [seen.why_none] if seen.why_none else []
    refusals += [seen.in_the_way] if seen.in_the_way else []
    hole = seen.coverage.refuses(wanted.point) if seen.coverage else None
    if hole and not _is_accepted(wanted):
        refusals.append(hole)
    return Assessment(
        wanted=wanted,
        state=seen.target_state,
        backups=tuple(seen.backups),
        chosen=chosen,
        recoverable=tuple(_recoverable(wanted, seen)),
        loss=_loss(wanted, seen) if chosen else "everything: no backup leads there",
        takes=_takes(seen.forecast_s),
        disk=_disk(needed, seen.free_bytes),
        steps=tuple(_steps(wanted, chosen)) if chosen else (),
        refusals=tuple(refusals),
        warnings=tuple(_warnings(wanted, seen, needed)),
        forecast_s=seen.forecast_s,
        needed_bytes=needed,
        free_bytes=seen.free_bytes,
    )


def needed_bytes(manifest: Manifest) -> int:
    """Disk that the restored data will take, roughly."""
    return manifest.size_bytes * (FILES_GROW if manifest.kind == "base" else DUMP_GROWS)


def _is_accepted(wanted: Wanted) -> bool:
    return wanted.accept_loss and wanted.point.kind == "latest"


def _recoverable(wanted: Wanted, seen: Situation) -> list[str]:
    if wanted.way == "dump":
        dumps = [m for m in seen.backups if m.kind == (wanted.kind or "dump")]
        return [f"{_said(d.started_at)}  {d.id}" for d in dumps]
    chosen, coverage = seen.chosen, seen.coverage
    lines = [f"from {_said(consistent_at(b))}  {b.id}" for b in seen.backups if b.kind == "base"]
    if chosen and coverage:
        begins = chosen.source.lsn_at_end or "its end"
        lines.append(
            f"with {coverage.segments} WAL segments any point from {begins} to at most "
            f"{format_lsn(coverage.reaches)}"
        )
    return lines


def _loss(wanted: Wanted, seen: Situation) -> str:
    assert seen.chosen is not None, "a choice"
    if wanted.point.kind != "latest":
        return f"all that came after {wanted.point}, as asked"
    if wanted.way == "dump":
        age = seen.now - seen.chosen.started_at
        return (
            f"all that was written since {_said(seen.chosen.started_at)} ({_age(age)} ago)"
            if not wanted.only
            else f"changes to it since {_said(seen.chosen.started_at)} ({_age(age)} ago)"
        )
    if seen.coverage and seen.coverage.missing:
        return f"all from WAL segment {seen.coverage.missing} on, which is missing, as accepted"
    if not seen.coverage or not seen.coverage.segments:
        age = seen.now - consistent_at(seen.chosen)
        return f"all since the base backup ({_age(age)} ago): no WAL after it is kept"
    return "what had not reached the kept WAL yet; see `recoverable`"


def _takes(forecast_s: float | None) -> str:
    if forecast_s is None:
        return "not known: no drill has measured it (shippyard ctl drill run)"
    return f"about {_age(timedelta(seconds=forecast_s))}, as drills measured"


def _disk(needed: int | None, free: int | None) -> str:
    need = f"about {_size(needed)}" if needed is not None else "little"
    have = f"{_size(free)} free" if free is not None else "free space is not known from here"
    return f"{need} needed, {have}"


def _steps(wanted: Wanted, chosen: Manifest) -> list[str]:
    check = f"read {chosen.id} again and compare every hash with its signed manifest"
    if wanted.way == "files":
        return [
            check,
            f"unpack it into {wanted.target}, tablespaces beside it, and verify it",
            f"start it shut in, replay WAL to {wanted.point}, promote, disable subscriptions",
            "compare it with the manifest, stop it, and hand it back",
        ]
    what = str(wanted.only) if wanted.only else "all of it"
    return [
        check,
        f"restore {what} into {wanted.target}; nothing that is there is changed",
        "compare rows and digests with the manifest, and hand it back",
    ]


def _warnings(wanted: Wanted, seen: Situation, needed: int | None) -> list[str]:
    warnings = []
    if needed is not None and seen.free_bytes is not None and seen.free_bytes < needed:
        warnings.append("the disk may be too small; name a larger place, or free some")
    strangers = sorted({u.key_id for u in seen.unusable if u.key_id and "not trusted" in u.why})
    if strangers:
        count = sum(1 for u in seen.unusable if u.key_id in strangers)
        warnings.append(
            f"{count} backups are signed by keys that are not trusted here: {', '.join(strangers)}"
        )
    if seen.coverage and seen.coverage.missing and wanted.point.kind in ("time", "name", "xid"):
        warnings.append(
            f"WAL segment {seen.coverage.missing} is missing: a point behind it is not reached, "
            "and the restore then fails"
        )
    return warnings


def _said(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}Z"


def _age(age: timedelta) -> str:
    seconds = max(0, round(age.total_seconds()))
    hours, minutes = seconds // 3600, seconds % 3600 // 60
    if hours >= 48:  # noqa: PLR2004  two days
        return f"{hours // 24} days"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{seconds} s"


def _size(size_bytes: int | None) -> str:
    value = float(size_bytes or 0)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:  # noqa: PLR2004  a step of the units
            return f"{value:.0f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
