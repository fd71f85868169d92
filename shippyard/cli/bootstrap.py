"""`shippyard bootstrap`: databases, roles and rights, shown first and made when asked."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shippyard.cli.config_option import asks_for_config
from shippyard.cli.exits import EXIT_CODES_HELP, ExitCode, Problem
from shippyard.cli.output import print_json, print_table

if TYPE_CHECKING:
    from shippyard.setup.bootstrap.model import Drift, Plan, Step


@click.command(epilog=EXIT_CODES_HELP)
@asks_for_config
@click.option("--apply", "do_apply", is_flag=True, help="Run the SQL; without it, it is shown.")
@click.option("--check", "do_check", is_flag=True, help="Say what is missing and what is too much.")
@click.option("--user", default="postgres", show_default=True, help="A superuser, to work as.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan and the drift as JSON.")
def bootstrap(
    config_path: Path, *, do_apply: bool, do_check: bool, user: str, as_json: bool
) -> None:
    """Make the databases, roles and rights of a configuration on its servers.

    Without an option it changes nothing and prints the SQL, passwords masked. With --apply it runs
    what is missing; a second time there is nothing to do. What is there beyond that is told with
    the statement that takes it away, and left alone, but for the rights of PUBLIC.

    --check ends with 1 when anything is missing or too much.

    \b
    Example:
      shippyard bootstrap --config config/development.toml
      shippyard bootstrap --config config/development.toml --apply
      shippyard bootstrap --check --json
    """
    if do_apply and do_check:
        raise Problem("give --apply or --check, not both", ExitCode.USAGE)
    plans = _made(config_path, user, do_apply=do_apply)
    if as_json:
        servers = [_as_json(plan, done=do_apply) for plan in plans]
        print_json({"applied": do_apply, "servers": servers})
    else:
        for plan in plans:
            _check(plan) if do_check else _show(plan, done=do_apply)
    if do_check and (found := sum(len(plan.drift) for plan in plans)):
        raise Problem(f"{found} things are not as {config_path} wants them", ExitCode.FAILED)


def _made(config_path: Path, user: str, *, do_apply: bool) -> "tuple[Plan, ...]":
    from shippyard.config.loading import ConfigError, load_config
    from shippyard.setup.bootstrap.applying import apply, plans
    from shippyard.setup.bootstrap.model import BootstrapRefused, NotPermitted, ServerUnreachable

    try:
        config = load_config(config_path)
    except ConfigError as error:
        raise Problem(str(error), ExitCode.USAGE) from None
    try:
        return apply(config, user) if do_apply else plans(config, user)
    except ServerUnreachable as error:
        raise Problem(str(error), ExitCode.UNREACHABLE) from None
    except NotPermitted as error:
        raise Problem(str(error), ExitCode.NOT_PERMITTED) from None
    except BootstrapRefused as error:
        raise Problem(str(error), ExitCode.FAILED) from None


def _show(plan: "Plan", *, done: bool) -> None:
    """The SQL as a script, and beside it, on stderr, what a person should know."""
    _print_steps(plan)
    count = len(plan.steps)
    for flaw in plan.flaws:
        _say(f"{flaw.kind}: {_where(flaw)}{flaw.what} → {flaw.mend}")
    for note in plan.notes:
        _say(f"note: {note}")
    if not count:
        _say(f"{plan.server}: nothing to do")
    elif done:
        _say(f"{plan.server}: {count} statements run")
    else:
        _say(f"{plan.server}: {count} statements; to run them: the same command with --apply")


def _print_steps(plan: "Plan") -> None:
    place: str | None = None
    if plan.steps:
        click.echo(f"-- {plan.cluster}: {plan.server}")
    for step in plan.steps:
        if step.dbname and step.dbname != place:
            click.echo(f'\\connect "{step.dbname}"')
        place = step.dbname
        click.echo(step.shown)


def _check(plan: "Plan") -> None:
    rows = [(each.kind, each.dbname, each.what, each.mend) for each in plan.drift]
    columns = ("drift", "database", "what", "mends it")
    print_table(columns, rows, f"{plan.server}: as it should be")
    for note in plan.notes:
        _say(f"note: {note}")


def _as_json(plan: "Plan", *, done: bool) -> dict[str, Any]:
    left = plan.flaws if done else plan.drift
    return {
        "cluster": plan.cluster,
        "server": plan.server,
        "steps": [_step(step) for step in plan.steps],
        "drift": [_drift(each) for each in left],
        "notes": plan.notes,
    }


def _step(step: "Step") -> dict[str, Any]:
    return {"database": step.dbname, "what": step.what, "statement": step.shown}


def _drift(each: "Drift") -> dict[str, Any]:
    return {"kind": each.kind, "database": each.dbname, "what": each.what, "statement": each.mend}


def _where(flaw: "Drift") -> str:
    return f"{flaw.dbname}: " if flaw.dbname else ""


def _say(line: str) -> None:
    click.echo(line, err=True)
