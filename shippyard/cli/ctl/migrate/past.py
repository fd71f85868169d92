"""`shippyard ctl migrate history` and `show`: runs that were, and one of them whole."""

import click

from shippyard.cli.ctl.asking import Asking, asks
from shippyard.cli.ctl.migrate.drawing import draw_detail, draw_history
from shippyard.cli.exits import EXIT_CODES_HELP


@click.command(epilog=EXIT_CODES_HELP)
@click.argument("database", required=False)
@asks
def history(asking: Asking, database: str | None) -> None:
    """List past runs, newest first.

    \b
    Example:
      shippyard ctl migrate history shippyar
    """
    params = {"database": database} if database else {}
    asking.show(asking.ask("migrate.history", params), draw_history)


@click.command(epilog=EXIT_CODES_HELP)
@click.argument("run")
@asks
def show(asking: Asking, run: str) -> None:
    """Show one run whole: verdicts, every step, what was looked at afterwards.

    \b
    Example:
      shippyard ctl migrate show 20261123T031500Z-shippyar-1f2e3d4c
    """
    asking.show(asking.ask("migrate.show", {"run": run}), draw_detail)
