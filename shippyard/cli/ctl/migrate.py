"""`shippyard ctl migrate`: plan, gate, back up, run, check, record."""

import sys
from typing import Any

import click

from shippyard.cli.ctl.asking import Asking, Refused, asks, the_database
from shippyard.cli.exits import EXIT_CODES_HELP, ExitCode, Problem
from shippyard.cli.output import print_table, when

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
    pre-migration backup, runs with live progress, checks and records.

    \b
    Example:
      shippyard ctl migrate
      shippyard ctl migrate 003 --database shippyar --yes
      shippyard ctl migrate plan --sql
    """


@migrate.command(name=RUN, epilog=EXIT_CODES_HELP)
@click.argument("revision", default="head")
@click.option("--database", help="Which database; needed when there are several.")
@click.option("--yes", is_flag=True, help="Don't ask; the gate still decides.")
@asks
def run_plan(asking: Asking, revision: str, database: str | None, *, yes: bool) -> None:
    """Plan, gate, back up, run and check. Ctrl-C detaches; the run goes on.

    \b
    Example:
      shippyard ctl migrate run head --yes
    """
    name = the_database(asking, database)
    plan = asking.ask("migrate.plan", {"database": name, "revision": revision})
    if plan["blocked"] or not plan["revisions"] or not asking.as_json:
        asking.show(plan, _draw_plan)
    if not plan["revisions"]:
        return
    if plan["blocked"]:
        raise Problem(_first_block(plan["verdicts"]), ExitCode.BLOCKED)
    _confirm(name, plan, yes=yes)
    _run(asking, name, revision, plan["content_hash"])


@migrate.command(name="plan", epilog=EXIT_CODES_HELP)
@click.argument("revision", default="head")
@click.option("--database", help="Which database; needed when there are several.")
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
    asking.show(plan, lambda answer: _draw_plan(answer, sql=sql))
    if plan["blocked"]:
        raise Problem(_first_block(plan["verdicts"]), ExitCode.BLOCKED)


@migrate.command(epilog=EXIT_CODES_HELP)
@click.argument("database", required=False)
@asks
def history(asking: Asking, database: str | None) -> None:
    """List past runs, newest first.

    \b
    Example:
      shippyard ctl migrate history shippyar
    """
    params = {"database": database} if database else {}
    asking.show(asking.ask("migrate.history", params), _draw_history)


def _run(asking: Asking, database: str, revision: str, content_hash: str) -> None:
    params = {"database": database, "revision": revision, "content_hash": content_hash}
    try:
        answer = asking.ask("migrate.run", params)
    except Refused as refused:
        if not asking.as_json:
            _draw_verdicts(refused.detail.get("verdicts", []))
        raise
    asking.show(answer, _draw_run)


def _confirm(database: str, plan: dict[str, Any], *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise Problem("say --yes to run it without a terminal", ExitCode.USAGE)
    count = len(plan["revisions"])
    click.confirm(f"Run {count} revision(s) on {database}?", abort=True, err=True)


def _draw_plan(plan: dict[str, Any], *, sql: bool = False) -> None:
    if not plan["revisions"]:
        click.echo(f"{plan['database']} is at {plan['current'] or 'base'}: nothing to run")
    else:
        click.echo(f"{plan['database']}: {plan['current'] or 'base'} → {plan['target']}")
    for revision in plan["revisions"]:
        back = "reversible" if revision["reversible"] else "no way back"
        click.echo(f"  {revision['revision']}  {revision['doc']}  ({back})")
        if sql:
            click.echo(revision["sql"].rstrip() or "  (no SQL can be rendered)")
    _draw_verdicts(plan["verdicts"])


def _draw_verdicts(verdicts: list[dict[str, Any]]) -> None:
    rows = [(v["gate"], v["verdict"], v["summary"]) for v in verdicts]
    print_table(("gate", "verdict", "evidence"), rows, "no gates")


def _first_block(verdicts: list[dict[str, Any]]) -> str:
    for wanted in ("block", "unknown"):
        for verdict in verdicts:
            if verdict["verdict"] == wanted:
                return f"blocked by gate {verdict['gate']}: {verdict['summary']}"
    return "blocked"


def _draw_run(run: dict[str, Any]) -> None:
    click.echo(
        f"{run['database']}: {run['from_revision'] or 'base'} → {run['to_revision']} "
        f"{run['state']} (run {run['id']}, backup {run['backup_id'] or 'none'})"
    )


def _draw_history(answer: dict[str, Any]) -> None:
    print_table(
        ("run", "database", "from", "to", "state", "by", "started", "error"),
        [
            (
                run["id"],
                run["database"],
                run["from_revision"] or "base",
                run["to_revision"],
                run["state"],
                run["requested_by"],
                when(run["started_at"]),
                run["error"],
            )
            for run in answer["runs"]
        ],
        "no runs yet",
    )
