"""`shippyard ctl alerts`: what is wrong, and who was told."""

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
    print_table(
        ("id", "rule", "database", "severity", "state", "since", "told", "summary"),
        [_row(incident) for incident in answer["incidents"]],
        "no open incidents",
    )


def _row(incident: dict[str, Any]) -> tuple[Any, ...]:
    told = ", ".join(f"{d['route']} {d['event']} {d['state']}" for d in incident["deliveries"])
    return (
        incident["id"],
        incident["rule"],
        incident["database"],
        incident["severity"],
        incident["state"],
        when(incident["since"]),
        told,
        incident["summary"],
    )
