"""`shippyard ctl migrate plan`: what would run, what is risky, what the gates say."""

import click

from shippyard.cli.ctl.asking import Asking, asks, the_database
from shippyard.cli.ctl.migrate.drawing import draw_plan, first_block
from shippyard.cli.ctl.migrate.options import database_option
from shippyard.cli.exits import EXIT_CODES_HELP, ExitCode, Problem


@click.command(name="plan", epilog=EXIT_CODES_HELP)
@click.argument("revision", default="head")
@database_option
@click.option("--sql", is_flag=True, help="Also the SQL of every revision.")
@asks
def show_plan(asking: Asking, revision: str, database: str | None, *, sql: bool) -> None:
    """Show what would run and what the gate says; changes nothing. Exits 3 when blocked.

    \b
    Example:
      shippyard ctl migrate plan head --sql
    """
    params = {"database": the_database(asking, database), "revision": revision}
    plan = asking.ask("migrate.plan", params)
    asking.show(plan, lambda answer: draw_plan(answer, sql=sql))
    if plan["blocked"]:
        raise Problem(first_block(plan["verdicts"]), ExitCode.BLOCKED)
