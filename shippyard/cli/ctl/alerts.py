"""`shippyard ctl alerts list|show|history`: what is wrong, what was, and who was told."""

import sys
from typing import Any

import click

from shippyard.cli.ctl.asking import Asking, asks
from shippyard.cli.exits import EXIT_CODES_HELP, ExitCode, Problem
from shippyard.cli.output import print_json, print_table, when


@click.command("list", epilog=EXIT_CODES_HELP)
@asks
def list_(asking: Asking) -> None:
    """Show open incidents with their cause, who was told, and what is silenced.

    \b
    Example:
      shippyard ctl alerts
      shippyard ctl alerts list --json
    """
    asking.show(asking.ask("alerts"), _draw)


@click.command(epilog=EXIT_CODES_HELP)
@asks
def history(asking: Asking) -> None:
    """Show the newest incidents that are over too, with every message about them.

    \b
    Example:
      shippyard ctl alerts history
      shippyard ctl alerts history --json
    """
    answer = asking.ask("alerts", {"all": True})
    asking.show(answer, lambda said: draw_incidents(said["incidents"]))


@click.command(epilog=EXIT_CODES_HELP)
@click.argument("incident")
@asks
def show(asking: Asking, incident: str) -> None:
    """Show one incident whole: evidence, messages, who took it on. INCIDENT may be its beginning.

    \b
    Example:
      shippyard ctl alerts show 0c3f
    """
    everything = asking.ask("alerts", {"all": True})["incidents"]
    found = [each for each in everything if each["id"].startswith(incident)]
    if len(found) != 1:
        what = f"{len(found)} incidents begin" if found else "no incident begins"
        hint = "see: shippyard ctl alerts history"
        raise Problem(f"{what} with {incident!r}; {hint}", ExitCode.USAGE)
    asking.show(found[0], _draw_whole)


def _draw(answer: dict[str, Any]) -> None:
    draw_incidents(answer["incidents"])
    for silence in answer["silences"]:
        what = " ".join(f"{field}={pattern}" for field, pattern in silence["match"].items())
        until = f"until {when(silence['ends_at'])}, by {silence['made_by']}"
        click.echo(f"silenced: {what}, {until}: {silence['why']} ({silence['id']})")


def draw_incidents(incidents: list[dict[str, Any]]) -> None:
    """On a terminal the summary stands below its incident: it is long, and it is the point."""
    if incidents and sys.stdout.isatty():
        for incident in incidents:
            _draw_block(incident)
    else:
        columns = ("id", "rule", "database", "severity", "state", "since", "told", "summary")
        print_table(columns, [_row(incident) for incident in incidents], "no open incidents")


def _draw_block(incident: dict[str, Any]) -> None:
    about = f" {incident['subject']}" if incident["subject"] else ""
    head = f"{incident['rule']} on {incident['database']}{about}"
    since = f"{incident['severity']}, since {when(incident['since'])}"
    colour = "red" if incident["state"] == "firing" else "yellow"
    state = click.style(_state(incident), fg=colour)
    click.echo(f"{click.style(head, bold=True)}  {state}  {since}")
    click.echo(f"  {incident['summary']}")
    click.echo(f"  told: {_told(incident) or 'nobody yet'}  ({incident['id']})")


def _draw_whole(incident: dict[str, Any]) -> None:
    _draw_block(incident)
    for each in incident["deliveries"]:
        what = f"{each['route']} {each['event']} {each['state']}, {each['attempts']} attempts"
        error = f": {each['error']}" if each["error"] else ""
        click.echo(f"  {when(each['at'])} {what}{error}")
    print_json(incident["evidence"])


def _row(incident: dict[str, Any]) -> tuple[Any, ...]:
    return (
        incident["id"],
        incident["rule"],
        incident["database"],
        incident["severity"],
        _state(incident),
        when(incident["since"]),
        _told(incident),
        incident["summary"],
    )


def _state(incident: dict[str, Any]) -> str:
    """With who keeps it quiet."""
    if incident["silenced_by"]:
        return f"{incident['state']}, silenced by {incident['silenced_by']}"
    if incident["acked_by"]:
        return f"{incident['state']}, taken on by {incident['acked_by']}"
    return str(incident["state"])


def _told(incident: dict[str, Any]) -> str:
    return ", ".join(f"{d['route']} {d['event']} {d['state']}" for d in incident["deliveries"])
