"""Owns a report cut down to what one answer on the socket can hold: the worst of everything."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from shippyard.migration.rehearsal.report import Passage, Report

LOCKS_MAX = 40
STATEMENTS_MAX = 15
LINES_MAX = 20


def brief(report: Report) -> dict[str, Any]:
    """The report in JSON's words: longest first, cut, with `left_out` saying how much is not there.

    The whole of it stays in the daemon's memory, and in what `shippyard migration rehearse --json`
    prints.
    """
    lines = ("schema_differences", "losses", "slower", "differs", "unproven", "changed")
    cut = {name: getattr(report, name)[:LINES_MAX] for name in lines}
    shown = replace(report, passages=tuple(map(_shown, report.passages)), **cut)
    left_out = _count(report) - _count(shown)
    return {
        **shown.document(),
        "comes_back": report.comes_back,
        "growth_bytes": report.growth_bytes,
        "elapsed_s": (report.finished_at - report.started_at).total_seconds(),
        "left_out": left_out,
    }


def _shown(passage: Passage) -> Passage:
    found = passage.recorded
    recorded = replace(
        found,
        locks=_longest(found.locks, "held_ms", LOCKS_MAX),
        blocked=_longest(found.blocked, "writes_ms", LOCKS_MAX),
        statements=_longest(found.statements, "elapsed_ms", STATEMENTS_MAX),
        rewrites=found.rewrites[:LINES_MAX],
        scans=found.scans[:LINES_MAX],
    )
    return replace(passage, recorded=recorded)


def _longest(rows: Sequence[Any], by: str, most: int) -> tuple[Any, ...]:
    return tuple(sorted(rows, key=lambda row: -getattr(row, by))[:most])


def _count(report: Report) -> int:
    """Lines that were found; of locks and statements the longest stand for all."""
    lines = (report.schema_differences, report.losses, report.slower, report.differs)
    each = (passage.recorded for passage in report.passages)
    files = sum(len(found.rewrites) + len(found.scans) for found in each)
    return sum(map(len, (*lines, report.unproven))) + files
