"""Owns `shippyard ctl alerts` as a group whose bare call lists what is open."""

import click

from shippyard.cli.ctl import alerts as shown
from shippyard.cli.ctl import alerts_quiet as quiet
from shippyard.cli.ctl.asking import Asking, asks
from shippyard.cli.exits import EXIT_CODES_HELP


@click.group(invoke_without_command=True, epilog=EXIT_CODES_HELP)
@asks
@click.pass_context
def alerts(ctx: click.Context, _: Asking) -> None:
    """Show what is wrong with its cause, take it on, silence it, try the ways to be told.

    \b
    Example:
      shippyard ctl alerts
      shippyard ctl alerts ack 0c3f
      shippyard ctl alerts test pager
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(shown.list_)


for command in (
    shown.list_,
    shown.show,
    shown.history,
    quiet.ack,
    quiet.silence,
    quiet.unsilence,
    quiet.test,
):
    alerts.add_command(command)
