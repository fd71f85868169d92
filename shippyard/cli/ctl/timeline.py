"""`shippyard ctl backup timeline`: what can be recovered, from when to when, and the holes."""

from datetime import UTC, datetime
from typing import Any

import click

from shippyard.cli.ctl.asking import Asking, asks
from shippyard.cli.exits import EXIT_CODES_HELP
from shippyard.cli.output import when

WIDTH = 60
COVERED, HOLE, BASE = "━", "·", "┃"
WORDS = {
    "missing": "missing",
    "short": "short",
    "different": "damaged",
    "slot_lost": "lost with the slot",
}


@click.command(epilog=EXIT_CODES_HELP)
@click.argument("subject", metavar="[@CLUSTER]", required=False)
@asks
def timeline(asking: Asking, subject: str | None) -> None:
    """Draw what can be recovered to any second, and the holes in it.

    \b
    Example:
      shippyard ctl backup timeline @main
    """
    params = {"subject": subject} if subject else {}
    asking.show(asking.ask("backup.timeline", params), _draw)


def _draw(answer: dict[str, Any]) -> None:
    if not answer["clusters"]:
        click.echo("no WAL is kept; set backup.clusters.NAME.wal to stream or archive")
    for each in answer["clusters"]:
        _draw_one(each)


def _draw_one(each: dict[str, Any]) -> None:
    if each["scanned_at"] is None:
        click.echo(f"{each['subject']}: not looked at yet; ask again in a minute")
        return
    click.echo(f"{each['subject']}  {each['segments']} segments, looked at {_ago(each)}")
    if not each["bases"]:
        click.echo(
            "  nothing can be recovered: there is no base backup; run: "
            f"shippyard ctl backup run {each['subject']}"
        )
    if len(each["ranges"]):
        click.echo(f"  {bar(each)}")
    for found in each["ranges"]:
        click.echo(f"  {_range(found)}")
    for hole in each["holes"]:
        click.secho(f"  {_hole(hole)}", fg="red" if hole["open"] else None)
    for name, why in each["damaged"].items():
        click.secho(f"  ! {name} is {WORDS.get(why, why)}", fg="red")
    for number in each["without_history"]:
        click.secho(f"  ! timeline {number} has no history file", fg="red")
    click.echo(f"  off the machine until {when(each['shipped_until'])}")


def bar(each: dict[str, Any], width: int = WIDTH) -> str:
    """One line for the whole time: what is covered, where base backups are, and the holes."""
    begin = min(_at(found["from"]) for found in each["ranges"])
    end = max(_at(found["until"]) for found in each["ranges"])
    scale = (width - 1) / max((end - begin).total_seconds(), 1e-9)

    def column(moment: str) -> int:
        return round((_at(moment) - begin).total_seconds() * scale)

    cells = [HOLE] * width
    for found in each["ranges"]:
        for place in range(column(found["from"]), column(found["until"]) + 1):
            cells[place] = COVERED
    for base in each["bases"]:
        cells[column(base["finished_at"])] = BASE
    return "".join(cells)


def _range(found: dict[str, Any]) -> str:
    until = (
        f"{when(found['until'])}, and WAL still comes" if found["open"] else when(found["until"])
    )
    return f"{when(found['from'])} to {until}, from {', '.join(found['bases'])}"


def _hole(hole: dict[str, Any]) -> str:
    names = hole["segments"]
    named = names[0] if hole["count"] == 1 else f"{names[0]} to {names[-1]} ({hole['count']})"
    state = "" if hole["open"] else "; a newer base backup is behind it"
    return (
        f"hole: {named} {WORDS.get(hole['why'], hole['why'])}, after {when(hole['after'])}{state}"
    )


def _ago(each: dict[str, Any]) -> str:
    return when(each["scanned_at"])


def _at(iso: str) -> datetime:
    return datetime.fromisoformat(iso).astimezone(UTC)
