"""`shippyard ctl`: the group and its commands."""

import click

from shippyard.cli.ctl.alerts_group import alerts
from shippyard.cli.ctl.asking import Asking, asks
from shippyard.cli.ctl.backup import backup
from shippyard.cli.ctl.drill import drill
from shippyard.cli.ctl.health_group import health
from shippyard.cli.ctl.jobs import jobs
from shippyard.cli.ctl.migrate.group import migrate
from shippyard.cli.ctl.restore import restore
from shippyard.cli.ctl.status import status
from shippyard.cli.exits import EXIT_CODES_HELP


@click.group(epilog=EXIT_CODES_HELP)
@asks
def ctl(_: Asking) -> None:
    """Ask the running daemon.

    What you may do follows from who you are on this machine: viewers look, operators act.

    \b
    Example:
      shippyard ctl status
      shippyard ctl backup run shippyar
      shippyard ctl migrate
    """


for command in (alerts, backup, drill, health, jobs, migrate, restore, status):
    ctl.add_command(command)
