"""`shippyard ctl migrate [REVISION]`: plan, gate, back up, run, check, record."""

import click

from shippyard.cli.ctl.asking import Asking, Refused, asks, the_database
from shippyard.cli.ctl.migrate.drawing import draw_plan, draw_run, draw_verdicts, first_block
from shippyard.cli.ctl.migrate.options import confirm, database_option, yes_option
from shippyard.cli.exits import EXIT_CODES_HELP, ExitCode, Problem


@click.command(name="run", epilog=EXIT_CODES_HELP)
@click.argument("revision", default="head")
@database_option
@yes_option
@click.option(
    "--emergency",
    is_flag=True,
    help="Past gates that two people may pass; needs another person's emergency yes.",
)
@asks
def run_plan(
    asking: Asking, revision: str, database: str | None, *, yes: bool, emergency: bool
) -> None:
    """Plan, gate, back up, run and check. Ctrl-C detaches; the run goes on.

    An emergency needs two people and tells on-call: the other one first says
    `shippyard ctl migrate approve PLAN --emergency --reason "..."`. Everything that protects
    the application while it runs stays on.

    \b
    Example:
      shippyard ctl migrate run head --yes
    """
    name = the_database(asking, database)
    params = {"database": name, "revision": revision, "emergency": emergency}
    plan = asking.ask("migrate.plan", params)
    if plan["blocked"] or not plan["revisions"] or not asking.as_json:
        asking.show(plan, draw_plan)
    if not plan["revisions"]:
        return
    if plan["blocked"]:
        raise Problem(first_block(plan["verdicts"]), ExitCode.BLOCKED)
    confirm(f"Run {len(plan['revisions'])} revision(s) on {name}?", yes=yes)
    run(asking, "migrate.run", {**params, "plan_hash": plan["plan_hash"]})


def run(asking: Asking, method: str, params: dict[str, object]) -> None:
    """Have it carried out, and show how it ended; verdicts too when it was refused."""
    try:
        answer = asking.ask(method, params)
    except Refused as refused:
        verdicts = refused.detail.get("verdicts")
        if verdicts and not asking.as_json:
            draw_verdicts(verdicts)
        raise
    asking.show(answer, draw_run)
