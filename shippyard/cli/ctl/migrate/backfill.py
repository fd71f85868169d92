"""`shippyard ctl migrate backfill`: begin and stop what is filled in the background."""

import click

from shippyard.cli.ctl.asking import Asking, asks, the_database
from shippyard.cli.ctl.migrate.options import database_option
from shippyard.cli.exits import EXIT_CODES_HELP


@click.group(epilog=EXIT_CODES_HELP)
@asks
def backfill(_: Asking) -> None:
    """Begin and stop backfills; `shippyard ctl migrate status` shows them.

    \b
    Example:
      shippyard ctl migrate backfill start users_email_v2
    """


@backfill.command(epilog=EXIT_CODES_HELP)
@click.argument("name")
@database_option
@asks
def start(asking: Asking, name: str, database: str | None) -> None:
    """Fill what a revision left to be filled, from where it stopped.

    \b
    Example:
      shippyard ctl migrate backfill start users_email_v2
    """
    _ask(asking, "migrate.backfill.start", name, database)


@backfill.command(epilog=EXIT_CODES_HELP)
@click.argument("name")
@database_option
@asks
def stop(asking: Asking, name: str, database: str | None) -> None:
    """Stop between two batches; `start` goes on there.

    \b
    Example:
      shippyard ctl migrate backfill stop users_email_v2
    """
    _ask(asking, "migrate.backfill.stop", name, database)


def _ask(asking: Asking, method: str, name: str, database: str | None) -> None:
    params = {"database": the_database(asking, database), "name": name}
    asking.show(asking.ask(method, params), lambda said: click.echo(said["message"]))
