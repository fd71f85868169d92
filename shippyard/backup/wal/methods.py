"""Owns what the WAL part of the backup room answers on the socket, and how it becomes JSON."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from shippyard.backup.model import subject_of_cluster
from shippyard.backup.wal.names import Segment, is_segment, parse_segment
from shippyard.backup.wal.record import Entry
from shippyard.backup.wal.scan import Gap, Span
from shippyard.backup.wal.timeline import Hole, Range, arrivals, holes, recoverable
from shippyard.backup.wal.watch import Scanned, WalWatch
from shippyard.control.method import Call, Document, Method, MethodError

SPANS_MAX = 200


def build(watches: Sequence[WalWatch]) -> list[Method]:
    """The methods of this part."""
    return [Method("backup.timeline", "viewer", _Timeline(watches).run)]


class _Timeline:
    def __init__(self, watches: Sequence[WalWatch]) -> None:
        self._watches = {watch.subject: watch for watch in watches}

    def run(self, call: Call) -> Document:
        """What can be recovered, of one cluster or of all."""
        asked = call.params.get("subject")
        return {"clusters": [_drawn(watch) for watch in self._chosen(asked)]}

    def _chosen(self, asked: Any) -> list[WalWatch]:
        if asked is None:
            return list(self._watches.values())
        watch = self._watches.get(str(asked)) or self._watches.get(subject_of_cluster(str(asked)))
        if watch is None:
            known = ", ".join(self._watches) or "none"
            raise MethodError("usage", f"no WAL of {asked!r} is kept; there is {known}")
        return [watch]


def _drawn(watch: WalWatch) -> dict[str, Any]:
    """One cluster's timeline; without a scan there is nothing to draw yet."""
    last, until = watch.last, watch.received_until()
    if last is None:
        return {"subject": watch.subject, "scanned_at": None, "ranges": [], "holes": []}
    size = last.looked.holdings.segment_bytes
    arrived = arrivals(_by_number(last, size))
    ranges = recoverable(last.bases, last.report.gaps, arrived, until)
    return {
        "subject": watch.subject,
        "scanned_at": last.at.isoformat(),
        "received_until": _iso(until),
        "shipped_until": _iso(watch.shipped_until()),
        "segments": len(last.looked.holdings.held),
        "segment_bytes": size,
        "bases": [
            {
                "id": base.backup_id,
                "finished_at": base.finished_at.isoformat(),
                "timeline": base.first.timeline,
                "first_segment": base.first.name(size),
            }
            for base in last.bases
        ],
        "ranges": [_range(each) for each in ranges],
        "holes": [_hole(each, size, last) for each in holes(last.report.gaps, arrived)],
        "spans": [_span(each, size) for each in last.report.spans[-SPANS_MAX:]],
        "without_history": list(last.report.without_history),
        "damaged": dict(last.looked.others),
    }


def _by_number(last: Scanned, segment_bytes: int) -> dict[int, list[Entry]]:
    found: dict[int, list[Entry]] = defaultdict(list)
    for name, entry in last.looked.kept.entries.items():
        if is_segment(name):
            found[parse_segment(name, segment_bytes).number].append(entry)
    return found


def _range(each: Range) -> dict[str, Any]:
    return {
        "from": each.begins_at.isoformat(),
        "until": each.ends_at.isoformat(),
        "bases": list(each.bases),
        "open": each.is_open,
    }


def _hole(each: Hole, segment_bytes: int, last: Scanned) -> dict[str, Any]:
    gap: Gap = each.gap
    return {
        "timeline": gap.timeline,
        "segments": gap.names(segment_bytes),
        "count": gap.last - gap.first + 1,
        "why": gap.why,
        "after": _iso(each.after),
        "before": _iso(each.before),
        "open": gap in last.settled.open,
    }


def _span(span: Span, segment_bytes: int) -> dict[str, Any]:
    return {
        "timeline": span.timeline,
        "first": Segment(span.timeline, span.first).name(segment_bytes),
        "last": Segment(span.timeline, span.last).name(segment_bytes),
        "count": span.last - span.first + 1,
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
