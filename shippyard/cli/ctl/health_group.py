"""Owns `shippyard ctl health` as a group whose bare call, or one with a database, shows health."""

import click

from shippyard.cli.ctl.asking import Asking, asks
from shippyard.cli.ctl.health import health as shown
from shippyard.cli.ctl.health_blockers import blockers
from shippyard.cli.ctl.health_queries import queries
from shippyard.cli.exits import EXIT_CODES_HELP


class _OrDatabase(click.Group):
    """A first word that is no command is a database whose health is meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] in self.commands:
            return super().resolve_command(ctx, args)
        return shown.name, shown, args


@click.group(
    cls=_OrDatabase,
    invoke_without_command=True,
    subcommand_metavar="[DATABASE | COMMAND]",
    epilog=EXIT_CODES_HELP,
)
@asks
@click.pass_context
def health(ctx: click.Context, _: Asking) -> None:
    """Show every check's freshness, and what is wrong now with its cause.

    \b
    Example:
      shippyard ctl health
      shippyard ctl health shippyar --json
      shippyard ctl health blockers
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(shown, database=None)


health.add_command(blockers)
health.add_command(queries)
