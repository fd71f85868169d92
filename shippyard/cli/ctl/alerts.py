"""`shippyard ctl alerts`: what is wrong, and who was told."""

import sys
from typing import Any

import click

from shippyard.cli.ctl.asking import Asking, asks
from shippyard.cli.exits import EXIT_CODES_HELP
from shippyard.cli.output import print_table, when


@click.command(epilog=EXIT_CODES_HELP)
@click.option("--all", "include_closed", is_flag=True, help="Also the ones that are over.")
@asks
def alerts(asking: Asking, *, include_closed: bool) -> None:
    """Show incidents with their cause, and the state of every message about them.

    \b
    Example:
      shippyard ctl alerts
      shippyard ctl alerts --all --json
    """
    asking.show(asking.ask("alerts", {"all": include_closed}), _draw)


def _draw(answer: dict[str, Any]) -> None:
    draw_incidents(answer["incidents"])


def draw_incidents(incidents: list[dict[str, Any]]) -> None:
    """On a terminal the summary stands below its incident: it is long, and it is the point."""
    if incidents and sys.stdout.isatty():
        for incident in incidents:
            _draw_block(incident)
    else:
        columns = ("id", "rule", "database", "severity", "state", "since", "told", "summary")
        print_table(columns, [_row(incident) for incident in incidents], "no open incidents")


def _draw_block(incident: dict[str, Any]) -> None:
    head = f"{incident['rule']} on {incident['database']}"
    since = f"{incident['severity']}, since {when(incident['since'])}"
    colour = "red" if incident["state"] == "firing" else "yellow"
    state = click.style(incident["state"], fg=colour)
    click.echo(f"{click.style(head, bold=True)}  {state}  {since}")
    click.echo(f"  {incident['summary']}")
    click.echo(f"  told: {_told(incident) or 'nobody yet'}  ({incident['id']})")


def _row(incident: dict[str, Any]) -> tuple[Any, ...]:
    return (
        incident["id"],
        incident["rule"],
        incident["database"],
        incident["severity"],
        incident["state"],
        when(incident["since"]),
        _told(incident),
        incident["summary"],
    )


def _told(incident: dict[str, Any]) -> str:
    return ", ".join(f"{d['route']} {d['event']} {d['state']}" for d in incident["deliveries"])
