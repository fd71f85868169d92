"""Owns a rehearsal as a pull request shows it: at most sixty lines. Pure."""

from collections.abc import Iterable, Iterator, Sequence

from shippyard.migration.hazards.model import Hazard
from shippyard.migration.rehearsal.report import Blocked, LockHeld, Passage, Report

LINES_MAX = 60
LOCKS_SHOWN = 8
BLOCKED_SHOWN = 6
LIST_SHOWN = 5
CELL_MAX_CHARS = 160
STRONG = ("AccessExclusiveLock", "ExclusiveLock", "ShareRowExclusiveLock", "ShareLock")
"""Modes that keep an application's writers, or readers too, waiting; the strongest first."""


def as_markdown(report: Report, hazards: Sequence[Hazard] = ()) -> str:
    """The summary: verdict, what it blocks, whether it comes back, what to look at."""
    lines = list(_lines(report, hazards))
    if len(lines) > LINES_MAX:
        lines = [*lines[: LINES_MAX - 1], "… the whole report is in the daemon's memory."]
    return "\n".join(lines) + "\n"


def _lines(report: Report, hazards: Sequence[Hazard]) -> Iterator[str]:
    yield from _head(report)
    up = next((each for each in report.passages if each.way == "up"), None)
    if up is not None:
        yield from _ways(report.passages)
        yield from _locks(up.recorded.locks)
        yield from _blocked(up.recorded.blocked)
        yield from _list("Written anew", up.recorded.rewrites)
        yield from _list("Read whole", up.recorded.scans)
    yield from _list("Not as before after the way back", report.schema_differences)
    yield from _list("Lost after the way back", report.losses)
    yield from _list("Not compared", report.unproven)
    yield from _list("Slower afterwards", report.slower)
    yield from _list("Hazards", map(_hazard, _open(hazards)))
    yield from _tail(report)


def _head(report: Report) -> Iterator[str]:
    way = f"`{report.from_revision or 'base'}` → `{report.to_revision}`"
    yield f"### Rehearsal of {report.database} {way}: {report.outcome}"
    yield ""
    if report.error:
        yield f"> {_cell(report.error)}"
        yield ""
    if report.outcome == "passed":
        proven = "comes back" if report.comes_back else "**is not proven to come back**"
        yield f"It went up on real data, and {proven}."
        yield ""


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
        yield f"| {each.mode} | {_cell(each.relation)} | {held} | {each.revision or ''} |"
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


def _open(hazards: Sequence[Hazard]) -> Iterator[Hazard]:
    return (each for each in hazards if each.suppressed is None and each.level != "note")


def _hazard(each: Hazard) -> str:
    return f"{each.level} {each.id} {each.file}:{each.line}: {each.why}"


def _tail(report: Report) -> Iterator[str]:
    elapsed_s = (report.finished_at - report.started_at).total_seconds()
    where = f"backup `{report.backup_id}` of {_mb(report.size_bytes)}" if report.backup_id else "-"
    yield (
        f"{where}, {elapsed_s:.0f} s, content `{report.content_hash[:12]}`, "
        f"rehearsal `{report.id}`; {report.tools}"
    )


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"


def _cell(text: str) -> str:
    """One line that a table takes, and that changes no formatting."""
    line = " ".join(text.split())
    short = line if len(line) <= CELL_MAX_CHARS else f"{line[: CELL_MAX_CHARS - 1]}…"
    return short.replace("\\", "\\\\").replace("|", "\\|").replace("`", "'").replace("<", "&lt;")
