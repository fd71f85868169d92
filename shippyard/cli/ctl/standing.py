"""Owns how the state of backups is drawn: one line for each subject, its worst problem last.

Each cell says what it is about, so that a line can be read without its heading. What the daemon
does not know is called unknown.
"""

import sys
from typing import Any

from shippyard.cli.output import brief, print_table

COLUMNS = (
    "backups of",
    "newest",
    "would lose",
    "restore",
    "WAL",
    "drill",
    "off machine",
    "problem",
)
UNKNOWN = "unknown"
SEGMENT_SHOWN = 8
"""Of a segment's name: its end, which moves."""

Document = dict[str, Any]


def draw_standing(answer: Document) -> None:
    """The section on backups of `ctl status`."""
    rows = [row(each, answer["place"], full=not sys.stdout.isatty()) for each in answer["subjects"]]
    print_table(COLUMNS, rows, "no backups")


def row(subject: Document, place: str | None, *, full: bool) -> tuple[str | None, ...]:
    """One line. With `full` nothing is shortened."""
    return (
        subject["subject"],
        _newest(subject),
        _loss(subject),
        _restore(subject),
        _wal(subject, full=full),
        _drill(subject),
        _copies(subject, place),
        _problem(subject, full=full),
    )


def _newest(subject: Document) -> str:
    kind = subject["main_kind"]
    newest = subject["newest"][kind]
    return f"{kind} {brief(newest['age_s'])} ago" if newest else f"no {kind}"


def _loss(subject: Document) -> str:
    """With the cluster, then with the machine, of what may be."""
    cluster, machine = (_lost(subject["loss"][of]) for of in ("cluster", "machine"))
    return f"{cluster} / {machine} of {brief(subject['objective']['rpo_s'])}"


def _lost(seconds: float | str | None) -> str:
    if seconds is None:
        return UNKNOWN
    return seconds if isinstance(seconds, str) else brief(seconds)


def _restore(subject: Document) -> str:
    """As it was measured, then as it is forecast, of what it may take."""
    drill = subject["drills"][subject["main_kind"]]
    took, will = (_time(drill[name]) for name in ("rto_s", "forecast_s"))
    both = took if took == will else f"{took} / {will}"
    return f"{both} of {brief(subject['objective']['rto_s'])}"


def _time(seconds: float | None) -> str:
    return UNKNOWN if seconds is None else brief(seconds)


def _wal(subject: Document, *, full: bool) -> str | None:
    wal = subject["wal"]
    if wal is None:
        return "off" if subject["subject"].startswith("@") else None
    name = wal["last_segment"] or ""
    return f"{wal['state']} {name if full else f'…{name[-SEGMENT_SHOWN:]}' if name else ''}".strip()


def _drill(subject: Document) -> str:
    """The last of the kind that brings everything back; one of another kind only if it failed."""
    drills = subject["drills"]
    wrong = [kind for kind, drill in drills.items() if drill["outcome"] == "failed"]
    kind = wrong[0] if wrong else subject["main_kind"]
    drill = drills[kind]
    if drill["outcome"] is None:
        return "never"
    return f"{kind} {drill['outcome']} {brief(drill['age_s'])} ago"


def _copies(subject: Document, place: str | None) -> str:
    copies = subject["copies"]
    if copies is None:
        return UNKNOWN if place else "no place"
    newest = f"{brief(copies['age_s'])} old" if copies["newest"] else "none"
    return f"{newest}, {copies['waiting']} wait" if copies["waiting"] else newest


def _problem(subject: Document, *, full: bool) -> str | None:
    """The worst; on a terminal without what to run, which stands with the incidents."""
    worst = next(iter(subject["problems"]), None)
    return worst if full or worst is None else worst.split("; ")[0]
