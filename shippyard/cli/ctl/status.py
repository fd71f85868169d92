"""`shippyard ctl status`: is everything all right, on one screen."""

from typing import Any

import click

from shippyard.cli.ctl.alerts import draw_incidents
from shippyard.cli.ctl.asking import Asking, asks
from shippyard.cli.ctl.standing import draw_standing
from shippyard.cli.exits import EXIT_CODES_HELP
from shippyard.cli.output import duration, print_table, size, when


@click.command(epilog=EXIT_CODES_HELP)
@asks
def status(asking: Asking) -> None:
    """Show what is wrong, each database's newest backups and last run, and open incidents.

    What is wrong: loops that are stuck, databases that are down, backups that are missing or late,
    pruning that is frozen, jobs that failed. When jobs are due says `shippyard ctl jobs`.

    How backups stand, one line for each database and @cluster: the newest verified one, what would
    be lost with the cluster / with the machine of what may be, how long a restore took in the last
    drill / would take now of what it may, WAL and its last segment, the last drill, copies off the
    machine, and the worst problem.

    \b
    Example:
      shippyard ctl status
      shippyard ctl status --json | jq .problems
    """
    asking.show(asking.ask("status"), _draw)


def _draw(answer: dict[str, Any]) -> None:
    click.echo(
        f"shippyard {answer['version']} · {answer['environment']} · pid {answer['pid']} · "
        f"up {duration(answer['uptime_s'])} · {answer['metrics_url']}"
    )
    for problem in answer["problems"]:
        click.secho(f"! {problem}", fg="red")
    print_table(
        ("database", "state", "newest dump", "size", "newest schema", "revision run"),
        [_database_row(each) for each in answer["databases"]],
        "no databases",
    )
    draw_standing(answer["backups"])
    draw_incidents(answer["incidents"])


def _database_row(database: dict[str, Any]) -> tuple[Any, ...]:
    dump, schema = database["newest"]["dump"], database["newest"]["schema"]
    run = database["last_run"]
    return (
        database["name"],
        "up" if database["up"] else "down",
        when(dump and dump["started_at"]),
        size(dump and dump["size_bytes"]),
        when(schema and schema["started_at"]),
        f"{run['to_revision']} {run['state']}" if run else None,
    )
