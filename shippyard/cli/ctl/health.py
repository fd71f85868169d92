"""`shippyard ctl health`: what the checks say now."""

from typing import Any

import click

from shippyard.cli.ctl.asking import Asking, asks
from shippyard.cli.exits import EXIT_CODES_HELP
from shippyard.cli.output import duration, print_table


@click.command(epilog=EXIT_CODES_HELP)
@click.argument("database", required=False)
@asks
def health(asking: Asking, database: str | None) -> None:
    """Show every check's freshness, and what is wrong now with its cause.

    \b
    Example:
      shippyard ctl health
      shippyard ctl health shippyar --json
    """
    params = {"database": database} if database else {}
    asking.show(asking.ask("health", params), _draw)


def _state(check: dict[str, Any]) -> str:
    if check["lacks"]:
        return f"no {check['lacks']}"
    return "ok" if check["ok"] else "failed"


def _draw(answer: dict[str, Any]) -> None:
    rows = [
        (
            database["name"],
            check["name"],
            _state(check),
            duration(check["age_s"]),
            duration(check["duration_s"]),
            check["error"],
        )
        for database in answer["databases"]
        for check in database["checks"]
    ]
    print_table(("database", "check", "state", "age", "took", "error"), rows, "no checks")
    for database in answer["databases"]:
        if not database["up"]:
            click.secho(f"! {database['name']} is down: {database['error']}", fg="red")
    for finding in answer["findings"]:
        click.secho(f"! {finding['database']}: {finding['summary']}", fg="red")
        tree = finding["evidence"].get("tree")
        if tree:
            click.echo(tree)
