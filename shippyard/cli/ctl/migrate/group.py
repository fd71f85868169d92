"""`shippyard ctl migrate`: the group and its commands; bare, it runs."""

import click

from shippyard.cli.ctl.asking import Asking, asks
from shippyard.cli.ctl.migrate.approval import approvals, approve, reject, request
from shippyard.cli.ctl.migrate.attest import attest
from shippyard.cli.ctl.migrate.audit import audit
from shippyard.cli.ctl.migrate.back import resume, rollback
from shippyard.cli.ctl.migrate.backfill import backfill
from shippyard.cli.ctl.migrate.drift import drift
from shippyard.cli.ctl.migrate.past import history, show
from shippyard.cli.ctl.migrate.plan import show_plan
from shippyard.cli.ctl.migrate.rehearse import rehearsal, rehearsals, rehearse
from shippyard.cli.ctl.migrate.run import run_plan
from shippyard.cli.ctl.migrate.status import cancel, status
from shippyard.cli.exits import EXIT_CODES_HELP

RUN = "run"


class RunByDefault(click.Group):
    """`migrate [REVISION]` means `migrate run [REVISION]`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `run` first when no subcommand is named."""
        if "--help" not in args and not any(word in self.commands for word in args):
            args = [RUN, *args]
        return super().parse_args(ctx, args)


@click.group(cls=RunByDefault, epilog=EXIT_CODES_HELP)
@asks
def migrate(_: Asking) -> None:
    """Bring a database to a revision, through the gate.

    Bare, or with a REVISION: shows the plan and the gate's verdicts, asks, takes the
    pre-migration backup, runs with live progress, checks, watches and records.

    \b
    Example:
      shippyard ctl migrate plan
      shippyard ctl migrate
      shippyard ctl migrate 003 --database shippyar --yes
    """


COMMANDS = (
    *(show_plan, rehearse, rehearsals, rehearsal),
    *(request, approve, reject, approvals, attest),
    *(run_plan, status, cancel, resume, rollback, backfill),
    *(history, show, audit, drift),
)

for command in COMMANDS:
    migrate.add_command(command)
