"""`shippyard migration`: the group and its commands."""

import click

from shippyard.cli.exits import EXIT_CODES_HELP
from shippyard.cli.migration.backfill import backfill
from shippyard.cli.migration.check import check
from shippyard.cli.migration.hazards import hazards
from shippyard.cli.migration.lint import lint
from shippyard.cli.migration.new import new
from shippyard.cli.migration.rehearse import rehearse
from shippyard.cli.migration.schema import schema


@click.group(epilog=EXIT_CODES_HELP)
def migration() -> None:
    """Write revisions, look them over, and fill what they left. Needs no daemon.

    `shippyard ctl migrate` runs them.

    \b
    Example:
      shippyard migration new "add user preferences"
      shippyard migration lint
      shippyard migration check
    """


for command in (backfill, check, hazards, lint, new, rehearse, schema):
    migration.add_command(command)
