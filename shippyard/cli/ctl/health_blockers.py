"""`shippyard ctl health blockers`: who blocks whom now, and the command that ends it."""

from typing import Any

import click

from shippyard.cli.ctl.asking import Asking, asks
from shippyard.cli.exits import EXIT_CODES_HELP, ExitCode, Problem
from shippyard.cli.output import duration


@click.command(epilog=EXIT_CODES_HELP)
@click.option("--database", help="Only this one.")
@asks
def blockers(asking: Asking, database: str | None) -> None:
    """Show who blocks whom right now as a tree, with the command that ends each wait.

    \b
    Example:
      shippyard ctl health blockers
      shippyard ctl health blockers --database shippyar --json
    """
    answer = asking.ask("health.blockers", {"database": database} if database else {})
    asking.show(answer, _draw)
    failed = [each["name"] for each in answer["databases"] if each["error"]]
    if failed:
        raise Problem(f"not asked: {', '.join(failed)}; see: shippyard ctl health", ExitCode.FAILED)


def _draw(answer: dict[str, Any]) -> None:
    for database in answer["databases"]:
        if database["error"]:
            click.secho(f"! {database['name']}: {database['error']}", fg="red")
        elif not database["victims_total"]:
            click.echo(f"{database['name']}: nobody waits for a lock")
        else:
            _draw_tree(database)


def _draw_tree(database: dict[str, Any]) -> None:
    click.echo(f"{database['name']}: {database['victims_total']} wait")
    click.echo(database["tree"])
    for root in database["roots"]:
        if root["pid"]:
            longest = duration(root["longest_wait_s"])
            click.echo(
                f"pid {root['pid']}: {root['victims']} wait, {root['depth']} deep, "
                f"the longest {longest}. To end it: {root['action']}"
            )
    for held in database["prepared"]:
        age = duration(held["age_s"])
        click.echo(f"prepared {held['gid']} of {held['owner']}, {age}. To end it: {held['action']}")
    for queue in database["ddl_queues"]:
        click.echo(
            f"DDL of pid {queue['pid']} waits for {queue['relation']}, {queue['queued_behind']} "
            f"behind it. To let them pass: {queue['action']}"
        )
