"""`shippyard ctl migrate drift`: what differs from the schema that the last run left."""

from typing import Any

import click

from shippyard.cli.ctl.asking import Asking, asks, the_database
from shippyard.cli.ctl.migrate.options import confirm
from shippyard.cli.exits import EXIT_CODES_HELP, Problem


@click.command(epilog=EXIT_CODES_HELP)
@click.argument("database", required=False)
@click.option("--accept", is_flag=True, help="What is there now is what is expected from now on.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@asks
def drift(asking: Asking, database: str | None, *, accept: bool, yes: bool) -> None:
    """Show every object that is not as the last run left it. Exits 1 when there is one.

    \b
    Example:
      shippyard ctl migrate drift shippyar
    """
    name = the_database(asking, database)
    answer = asking.ask("migrate.drift", {"database": name})
    if accept:
        if not asking.as_json:
            _draw(answer)
        confirm(f"Expect {name} to be as it is now?", yes=yes)
        answer = asking.ask("migrate.accept", {"database": name, "fingerprint": answer["found"]})
        asking.show(answer, lambda said: click.echo(said["message"]))
        return
    asking.show(answer, _draw)
    if answer["differences"]:
        raise Problem(f"{len(answer['differences'])} objects differ")


def _draw(answer: dict[str, Any]) -> None:
    for line in answer["differences"]:
        click.echo(line)
    if answer["expected"] is None:
        click.echo(
            f"{answer['database']}: nothing is expected yet; the first run that is done sets it"
        )
    elif not answer["differences"]:
        click.echo(f"{answer['database']} is as the last run left it")
