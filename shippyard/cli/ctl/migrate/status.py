"""`shippyard ctl migrate status` and `cancel`: what is being migrated now, and stopping it."""

import sys
import time
from typing import Any

import click

from shippyard.cli.ctl.asking import Asking, asks, the_database
from shippyard.cli.ctl.migrate.options import confirm
from shippyard.cli.exits import EXIT_CODES_HELP
from shippyard.cli.output import duration, print_table

WATCH_EVERY_S = 1.0


@click.command(epilog=EXIT_CODES_HELP)
@click.argument("database", required=False)
@click.option("--watch", is_flag=True, help="Look again each second until nothing runs.")
@asks
def status(asking: Asking, database: str | None, *, watch: bool) -> None:
    """Show what is being migrated now: how far, who waits, how long yet; and backfills.

    \b
    Example:
      shippyard ctl migrate status --watch
    """
    params = {"database": database} if database else {}
    answer = asking.ask("migrate.status", params)
    asking.show(answer, _draw)
    while watch and answer["running"]:
        time.sleep(WATCH_EVERY_S)
        answer = asking.ask("migrate.status", params)
        if sys.stdout.isatty() and not asking.as_json:
            click.clear()
        asking.show(answer, _draw)


@click.command(epilog=EXIT_CODES_HELP)
@click.argument("database", required=False)
@click.option("--yes", is_flag=True, help="Don't ask.")
@asks
def cancel(asking: Asking, database: str | None, *, yes: bool) -> None:
    """Stop a running migration: what is not committed is rolled back, a backfill ends at a batch.

    \b
    Example:
      shippyard ctl migrate cancel shippyar --yes
    """
    name = the_database(asking, database)
    confirm(f"Stop the migration of {name}?", yes=yes)
    answer = asking.ask("migrate.cancel", {"database": name})
    asking.show(answer, lambda said: click.echo(said["message"]))


def _draw(answer: dict[str, Any]) -> None:
    if not answer["running"]:
        click.echo("no migration is under way")
    for run in answer["running"]:
        progress = run["progress"]
        said = progress.get("message", progress.get("phase", ""))
        click.echo(f"{run['database']}: run {run['run']}, {duration(run['elapsed_s'])}: {said}")
    for run in answer["unfinished"]:
        click.echo(f"{run['database']}: run {run['id']} was interrupted: {run['error']}")
        click.echo(f"  go on: shippyard ctl migrate resume {run['id']}")
    rows = [
        (b["database"], b["name"], b["table"], b["state"], b["rows"], b["left"])
        for b in answer["backfills"]
    ]
    if rows:
        print_table(("database", "backfill", "table", "state", "rows", "left"), rows, "")
