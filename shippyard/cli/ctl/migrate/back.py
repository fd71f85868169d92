"""`shippyard ctl migrate rollback` and `resume`: the way back, and going on after a stop."""

from typing import Any

import click

from shippyard.cli.ctl.asking import Asking, asks
from shippyard.cli.ctl.migrate.options import confirm, confirm_by_name
from shippyard.cli.ctl.migrate.run import run as carried_out
from shippyard.cli.exits import EXIT_CODES_HELP, ExitCode, Problem


@click.command(epilog=EXIT_CODES_HELP)
@click.argument("run", required=False)
@click.option("--yes", is_flag=True, help="Don't ask; whether it is safe is still looked at.")
@asks
def rollback(asking: Asking, run: str | None, *, yes: bool) -> None:
    """Take a run back, the last one if none is named: down by its own revisions.

    Only when a rehearsal proved that schema and data come back, and nothing was written since that
    would be lost. Else it says so, and what the next best is.

    \b
    Example:
      shippyard ctl migrate rollback
    """
    params = {"run": run} if run else {}
    undo = asking.ask("migrate.undo", params)
    if not undo["allowed"] or not asking.as_json:
        asking.show(undo, _draw_undo)
    if not undo["allowed"]:
        raise Problem(f"not taken back: {undo['why']}", ExitCode.BLOCKED)
    question = f"Take {undo['database']} from {undo['from']} back to {undo['to'] or 'base'}?"
    confirm_by_name(question, undo["database"], yes=yes)
    carried_out(asking, "migrate.rollback", {"run": undo["run"]})


@click.command(epilog=EXIT_CODES_HELP)
@click.argument("run", required=False)
@click.option("--yes", is_flag=True, help="Don't ask; the gate still decides.")
@asks
def resume(asking: Asking, run: str | None, *, yes: bool) -> None:
    """Go on with an interrupted or failed run, the last one if none is named.

    What a crash left is found and mended first: sessions that outlived it, an INVALID index.

    \b
    Example:
      shippyard ctl migrate resume
    """
    params = {"run": run} if run else {}
    rest = asking.ask("migrate.rest", params)
    if not asking.as_json:
        _draw_rest(rest)
    confirm(f"Go on with run {rest['run']} on {rest['database']}?", yes=yes)
    carried_out(asking, "migrate.resume", {"run": rest["run"]})


def _draw_undo(undo: dict[str, Any]) -> None:
    way = f"{undo['from']} → {undo['to'] or 'base'}"
    click.echo(f"run {undo['run']} of {undo['database']}, taken back: {way}")
    click.echo(f"  {undo['why']}")
    for option in undo["next_best"]:
        click.echo(f"  next best: {option['what']}: {option['command']}")


def _draw_rest(rest: dict[str, Any]) -> None:
    click.echo(f"run {rest['run']} of {rest['database']}: {rest['message']}")
    for each in rest["left"]:
        click.echo(f"  found: {each}")
    click.echo(f"  still to run: {', '.join(rest['revisions']) or 'nothing'}")
