"""Owns what a recovery will replay: from which segment, along which line, and up to which one.

It is known before anything is restored, so that a hole is refused and not promoted over. Pure, but
for `plan_recovery`, which reads what there is.
"""

from dataclasses import dataclass, replace

from shippyard.backup.manifest import Manifest
from shippyard.backup.restore.coverage import Coverage, cover, kept_of, segment_bytes
from shippyard.backup.restore.line import Line, line_to
from shippyard.backup.restore.physical import RestoreRefused, WalSource
from shippyard.backup.restore.point import Point, PointUnreachable, timeline_of
from shippyard.backup.wal.names import format_lsn, is_segment, parse_lsn, parse_segment


@dataclass(frozen=True)
class Plan:
    """What a recovery is given. `first` and `last` are segments' numbers; `last` may be before.

    `point` names its timeline by number: PostgreSQL's own search for the latest one ends at the
    first history that is missing. `names` are all WAL files there are.
    """

    point: Point
    line: Line
    segment_bytes: int
    first: int
    last: int
    names: frozenset[str]
    system_identifier: str
    coverage: Coverage

    def candidates(self, number: int) -> list[str]:
        """Kept files that hold a segment of the line, best first."""
        return [name for name in self.line.names(number, self.segment_bytes) if name in self.names]

    def number_of(self, name: str) -> int:
        """A segment's number."""
        return parse_segment(name, self.segment_bytes).number


def plan_recovery(
    base: Manifest, source: WalSource | None, point: Point, *, accept_loss: bool = False
) -> Plan:
    """What recovery from this base backup to the point will replay.

    With `accept_loss` the latest point is the last one before a hole.

    Raises:
        PointUnreachable: the kept WAL doesn't lead there.
        HistoryUnusable, PointInvalid: the timeline can't be followed.
        WalUnusable: a timeline's history is damaged.
    """
    names = frozenset(source.segments() if source else ())
    kept = kept_of(source)
    begun_on = base.source.timeline or 1
    timeline = timeline_of(point, kept.timelines | {begun_on})
    line, end = line_to(timeline, kept.histories), parse_lsn(base.source.lsn_at_end or "0/0")
    if not line.holds(begun_on, end):
        raise PointUnreachable(
            f"{base.id} ends on timeline {begun_on} at {base.source.lsn_at_end}, which does not "
            f"lead to timeline {timeline}; choose an older base backup, or --timeline {begun_on}"
        )
    coverage = cover(base, sorted(names), kept, point)
    size = segment_bytes(base)
    _refuse(coverage, point, accept_loss=accept_loss, lsn_max=_end(line, names, size, coverage))
    is_cut = coverage.missing is not None and point.kind == "latest"
    last = coverage.reaches // size - 1 if is_cut else _newest(line, names, size)
    return Plan(
        point=replace(point, timeline=str(timeline)),
        line=line,
        segment_bytes=size,
        first=parse_lsn(base.source.lsn_at_start or "0/0") // size,
        last=last,
        names=names,
        system_identifier=base.source.system_identifier,
        coverage=coverage,
    )


def refuse_short(plan: Plan, ended: int | None, *, last_is_loose: bool = False) -> None:
    """Hold where recovery ended against what is known to exist; `ended` None when it didn't say.

    A target other than the latest is PostgreSQL's own to refuse. `last_is_loose` says that nothing
    in the last segment need have been replayed, because it is empty or ends a record only.

    Raises:
        RestoreRefused: it ended before.
    """
    if plan.point.kind != "latest" or plan.last < plan.first:
        return
    last = plan.last - 1 if last_is_loose else plan.last
    if ended is None or ended <= last * plan.segment_bytes:
        where = "nobody knows where" if ended is None else f"at {format_lsn(ended)}"
        name = plan.line.names(last, plan.segment_bytes)[0]
        raise RestoreRefused(
            f"recovery ended {where}, before {name}, which is kept: data is missing in what was "
            "restored; look at the server's log, and don't use it"
        )


def _refuse(coverage: Coverage, point: Point, *, accept_loss: bool, lsn_max: int) -> None:
    refusal = coverage.refuses(point)
    if refusal and not (accept_loss and point.kind == "latest"):
        raise PointUnreachable(refusal)
    if point.kind == "lsn" and parse_lsn(str(point.value)) > lsn_max:
        raise PointUnreachable(
            f"{point} is after what is kept: the WAL ends at {format_lsn(lsn_max)} at most; "
            "restore to `latest`"
        )


def _newest(line: Line, names: frozenset[str], size: int) -> int:
    """The number of the newest kept segment of the line; -1 when there is none."""
    on_line = (
        number
        for number in {parse_segment(name, size).number for name in names if is_segment(name)}
        if names.intersection(line.names(number, size))
    )
    return max(on_line, default=-1)


def _end(line: Line, names: frozenset[str], size: int, coverage: Coverage) -> int:
    return max(coverage.reaches, (_newest(line, names, size) + 1) * size)
