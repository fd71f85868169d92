"""Owns how results look: tables on a terminal, plain lines in a pipe, JSON when asked.

Knows the shape of no command's answer: callers hand it rows.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

STYLES = {
    "pass": "green",
    "ok": "green",
    "up": "green",
    "done": "green",
    "published": "green",
    "sent": "green",
    "resolved": "green",
    "warn": "yellow",
    "unknown": "yellow",
    "pending": "yellow",
    "retrying": "yellow",
    "interrupted": "yellow",
    "block": "red",
    "down": "red",
    "failed": "red",
    "firing": "red",
    "dead": "red",
}

UNITS = ("B", "kB", "MB", "GB", "TB")
STEP = 1000
MINUTE_S = 60
HOUR_MIN = 60
LONG_H = 48
DAY_H = 24


def print_json(document: Any) -> None:
    """One JSON document on stdout."""
    click.echo(json.dumps(document, indent=2, default=str))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], empty: str) -> None:
    """Rows under headings; in a pipe one line per row, tab-separated, without headings."""
    if not rows:
        click.echo(empty, err=not sys.stdout.isatty())
        return
    if sys.stdout.isatty():
        _draw(columns, rows)
        return
    for row in rows:
        click.echo("\t".join(_plain(cell) for cell in row))


def _draw(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    # Imported here: it costs a third of a second, and pipes never draw.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        words = [_plain(cell) for cell in row]
        table.add_row(*(Text(word, style=STYLES.get(word, "")) for word in words))
    Console().print(table)


def _plain(cell: Any) -> str:
    return "-" if cell is None or cell == "" else str(cell)


def size(size_bytes: float | None) -> str:
    """A size as a person reads it: `12.3 MB`."""
    if size_bytes is None:
        return "-"
    value, unit = float(size_bytes), UNITS[0]
    for unit in UNITS:
        if value < STEP or unit == UNITS[-1]:
            break
        value /= STEP
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def duration(seconds: float | None) -> str:
    """A duration as a person reads it: `0.4 s`, `3 min 20 s`, `2 h 5 min`, `4 d 3 h`."""
    if seconds is None:
        return "-"
    if seconds < MINUTE_S:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < HOUR_MIN:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    if hours < LONG_H:
        return f"{hours} h {minutes} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


def brief(seconds: float) -> str:
    """A length of time at a glance: `41 s`, `15 min`, `3 h`, `6 d`."""
    if seconds < 2 * MINUTE_S:
        return f"{seconds:.0f} s"
    minutes = seconds / MINUTE_S
    if minutes < 2 * HOUR_MIN:
        return f"{minutes:.0f} min"
    hours = minutes / HOUR_MIN
    return f"{hours:.0f} h" if hours < LONG_H else f"{hours / DAY_H:.0f} d"


def when(iso: str | None) -> str:
    """A time to the second, in UTC, with how long ago or ahead it is."""
    if not iso:
        return "-"
    at = datetime.fromisoformat(iso).astimezone(UTC)
    away_s = (datetime.now(UTC) - at).total_seconds()
    relative = f"{duration(away_s)} ago" if away_s >= 0 else f"in {duration(-away_s)}"
    return f"{at:%Y-%m-%d %H:%M:%S}Z ({relative})"


class Progress:
    """What a long command says while it works.

    A terminal sees one line that changes; a pipe sees a line whenever the phase changes; with
    `--json` nothing is shown but the result.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._live = sys.stderr.isatty() and not quiet
        self._last = ""

    def show(self, fields: Mapping[str, Any]) -> None:
        """One step: `phase`, and what else there is to say."""
        if self._quiet:
            return
        line = _step(fields)
        key = f"{fields.get('phase')}{fields.get('revision')}{fields.get('attempt')}"
        if self._live:
            click.echo(f"\r\x1b[2K  {line}", err=True, nl=False)
        elif key != self._last:
            click.echo(f"  {line}", err=True)
        self._last = key

    def finish(self) -> None:
        """Leave the changing line behind."""
        if self._live and self._last:
            click.echo("\r\x1b[2K", err=True, nl=False)


def _step(fields: Mapping[str, Any]) -> str:
    parts = [str(fields.get("phase", "working"))]
    named = ("database", "kind", "revision", "message")
    parts.extend(str(fields[name]) for name in named if fields.get(name))
    if fields.get("attempt"):
        parts.append(f"attempt {fields['attempt']}")
    if fields.get("size_bytes"):
        expected = fields.get("expected_bytes")
        of = f" of about {size(expected)}" if expected else ""
        parts.append(size(fields["size_bytes"]) + of)
    return " · ".join(parts)
