"""Owns a rehearsal as a pull request shows it: at most sixty lines. Pure."""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from shippyard.migration.hazards.model import Hazard
from shippyard.migration.rehearsal.report import Blocked, LockHeld, Passage, Report

LINES_MAX = 60
LOCKS_SHOWN = 12
BLOCKED_SHOWN = 5
LIST_SHOWN = 3
ON_ONE_LINE = 8
HOUR_S = 3600.0
CELL_MAX_CHARS = 160
STRONG = ("AccessExclusiveLock", "ExclusiveLock", "ShareRowExclusiveLock", "ShareLock")
"""Modes that keep an application's writers, or readers too, waiting; the strongest first."""


_TAKEN_AT = re.compile(r"\d{8}T\d{6}Z")
"""What a backup's id begins with."""


def as_markdown(report: Report, hazards: Sequence[Hazard] = ()) -> str:
    """The summary: verdict, whether it comes back, what to look at, what it blocks.

    What matters most comes first, since what is too long loses its last lines.
    """
    tail = list(_tail(report))
    lines = list(_lines(report, hazards))
    if len(lines) + len(tail) > LINES_MAX:
        kept = LINES_MAX - len(tail) - 2
        lines = [*lines[:kept], "", "… `shippyard migration rehearse --json` has all of it."]
    return "\n".join((*lines, *tail)) + "\n"


def _lines(report: Report, hazards: Sequence[Hazard]) -> Iterator[str]:
    yield from _head(report)
    if report.passages:
        yield from _ways(report.passages)
        yield from _revisions(report)
    yield from _list("Lost after the way back", report.losses)
    yield from _list("Not as before after the way back", report.schema_differences)
    yield from _list("Slower afterwards", report.slower)
    yield from _list("Hazards", map(_hazard, _open(hazards)))
    yield from _list("Not compared", report.unproven)
    yield from _list("Not as in production", report.differs)
    up = next((each for each in report.passages if each.way == "up"), None)
    if up is not None:
        yield from _line("Values written over", map(_cell, report.changed))
        yield from _line("Written anew", map(_cell, up.recorded.rewrites))
        yield from _line("Read whole", map(_cell, up.recorded.scans))
        yield from _blocked(up.recorded.blocked)
        yield from _locks(up.recorded.locks)


def _head(report: Report) -> Iterator[str]:
    before, after = _cell(report.from_revision or "base"), _cell(report.to_revision)
    yield f"### Rehearsal of {_cell(report.database)} `{before}` → `{after}`: {report.outcome}"
    yield ""
    if report.error:
        yield f"> {_cell(report.error)}"
        yield ""
    if report.outcome == "passed":
        proven = "comes back" if report.comes_back else "**is not proven to come back**"
        yield f"It went up on real data, and {proven}."
        yield ""


def _revisions(report: Report) -> Iterator[str]:
    taken = sorted(report.revision_elapsed_s.items(), key=lambda each: -each[1])
    yield from _line("Takes", (f"`{_cell(name)}` {taken_s:.1f} s" for name, taken_s in taken))


def _ways(passages: Iterable[Passage]) -> Iterator[str]:
    yield "| way | kind | took | WAL | disk |"
    yield "|---|---|---|---|---|"
    for each in passages:
        found = each.recorded
        said = f"**{_cell(each.error)}**" if each.error else ", ".join(each.kinds) or "as before"
        took, grown = f"{found.elapsed_s:.1f} s", _mb(found.growth_bytes)
        yield f"| {each.way} | {said} | {took} | {_mb(found.wal_bytes)} | {grown} |"
    yield ""


def _locks(locks: Sequence[LockHeld]) -> Iterator[str]:
    strong = sorted(
        (each for each in locks if each.mode in STRONG),
        key=lambda each: (STRONG.index(each.mode), -each.held_ms),
    )
    if not strong:
        return
    yield "| lock | on | held | revision |"
    yield "|---|---|---|---|"
    for each in strong[:LOCKS_SHOWN]:
        held = f"{each.held_ms:.0f} ms"
        yield f"| {each.mode} | {_cell(each.relation)} | {held} | {_cell(each.revision or '')} |"
    if len(strong) > LOCKS_SHOWN:
        yield f"| and {len(strong) - LOCKS_SHOWN} more | | | |"
    yield ""


def _blocked(blocked: Sequence[Blocked]) -> Iterator[str]:
    worst = sorted(blocked, key=lambda each: -max(each.reads_ms, each.writes_ms))
    worst = [each for each in worst if each.reads_ms >= 1 or each.writes_ms >= 1]
    if not worst:
        return
    yield "| on | readers wait | writers wait |"
    yield "|---|---|---|"
    for each in worst[:BLOCKED_SHOWN]:
        yield f"| {_cell(each.relation)} | {each.reads_ms:.0f} ms | {each.writes_ms:.0f} ms |"
    yield ""


def _list(title: str, lines: Iterable[str]) -> Iterator[str]:
    found = list(lines)
    if not found:
        return
    yield f"**{title}**"
    yield from (f"- {_cell(each)}" for each in found[:LIST_SHOWN])
    if len(found) > LIST_SHOWN:
        yield f"- and {len(found) - LIST_SHOWN} more"
    yield ""


def _line(title: str, words: Iterable[str]) -> Iterator[str]:
    found = list(words)
    if not found:
        return
    more = f" and {len(found) - ON_ONE_LINE} more" if len(found) > ON_ONE_LINE else ""
    yield f"**{title}:** {', '.join(found[:ON_ONE_LINE])}{more}"
    yield ""


def _open(hazards: Sequence[Hazard]) -> Iterator[Hazard]:
    return (each for each in hazards if each.suppressed is None and each.level != "note")


def _hazard(each: Hazard) -> str:
    return f"{each.level} {each.id} {each.file}:{each.line}: {each.why}"


def _tail(report: Report) -> Iterator[str]:
    elapsed_s = (report.finished_at - report.started_at).total_seconds()
    where = f"{_backup(report)}, " if report.backup_id else ""
    yield (
        f"{where}{elapsed_s:.0f} s, content `{report.content_hash[:12]}`, "
        f"rehearsal `{report.id}`; {_cell(report.tools)}"
    )
    if report.phases:
        each = (f"{_cell(name)} {phase_s:.1f} s" for name, phase_s in report.phases.items())
        yield f"Of that: {', '.join(each)}"


def _backup(report: Report) -> str:
    named = f"backup `{_cell(report.backup_id)}` of {_mb(report.size_bytes)}"
    found = _TAKEN_AT.match(report.backup_id)
    if found is None:
        return named
    taken_at = datetime.strptime(found[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return f"{named}, {(report.started_at - taken_at).total_seconds() / HOUR_S:.1f} h old then"


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"


def _cell(text: str) -> str:
    """One line that a table takes, and that changes no formatting."""
    line = " ".join(text.split())
    short = line if len(line) <= CELL_MAX_CHARS else f"{line[: CELL_MAX_CHARS - 1]}…"
    return short.replace("\\", "\\\\").replace("|", "\\|").replace("`", "'").replace("<", "&lt;")
