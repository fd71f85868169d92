"""`shippyard ctl health blockers`: who blocks whom now, and the command that ends it."""

from typing import Any

import click

from shippyard.cli.ctl.asking import Asking, asks
from shippyard.cli.ctl.migrate.options import confirm
from shippyard.cli.exits import EXIT_CODES_HELP, ExitCode, Problem
from shippyard.cli.output import duration


@click.command(epilog=EXIT_CODES_HELP)
@click.option("--database", help="Only this one.")
@click.option("--end", "pid", type=int, metavar="PID", help="End this root, after showing it.")
@click.option("--yes", is_flag=True, help="Don't ask; it is looked at again all the same.")
@asks
def blockers(asking: Asking, database: str | None, pid: int | None, *, yes: bool) -> None:
    """Show who blocks whom right now as a tree, with the command that ends each wait.

    With --end the daemon runs that command, for an operator, and writes down who asked.

    \b
    Example:
      shippyard ctl health blockers
      shippyard ctl health blockers --database shippyar --json
      shippyard ctl health blockers --end 4711
    """
    answer = asking.ask("health.blockers", {"database": database} if database else {})
    if pid is not None:
        _end(asking, answer, pid, yes=yes)
        return
    asking.show(answer, _draw)
    failed = [each["name"] for each in answer["databases"] if each["error"]]
    if failed:
        raise Problem(f"not asked: {', '.join(failed)}; see: shippyard ctl health", ExitCode.FAILED)


def _end(asking: Asking, answer: dict[str, Any], pid: int, *, yes: bool) -> None:
    found = [
        (each["name"], root)
        for each in answer["databases"]
        for root in each.get("roots", ())
        if root["pid"] == pid
    ]
    if not found:
        raise Problem(
            f"pid {pid} is no root of a lock wait now; nothing was done", ExitCode.BLOCKED
        )
    name, root = found[0]
    click.echo(_told(name, root), err=True)
    confirm("Run it?", yes=yes)
    request = {"database": name, "pid": pid, "backend_start": root["backend_start"]}
    ended = asking.ask("health.end", request)
    asking.show(ended, lambda said: click.echo(f"pid {pid}: {said['outcome'].replace('_', ' ')}"))
    if ended["next"]:
        raise Problem(f"pid {pid} still blocks; {ended['next']}", ExitCode.FAILED)


def _told(name: str, root: dict[str, Any]) -> str:
    who = f"pid {root['pid']} of {root['user']} ({root['application'] or 'no name'}) on {name}"
    longest = duration(root["longest_wait_s"])
    return (
        f"{who}, {root['state']}: {root['victims']} wait for it, the longest {longest}\n"
        f"  its statement: {' '.join((root['query'] or '').split())}\n"
        f"  to be run: {root['action']}"
    )


def _draw(answer: dict[str, Any]) -> None:
    for database in answer["databases"]:
        if database["error"]:
            click.secho(f"! {database['name']}: {database['error']}", fg="red")
        elif not database["victims_total"]:
            click.echo(f"{database['name']}: nobody waits for a lock")
        else:
            _draw_tree(database)


def _draw_tree(database: dict[str, Any]) -> None:
    click.echo(f"{database['name']}: {database['victims_total']} wait")
    click.echo(database["tree"])
    for root in database["roots"]:
        if root["pid"]:
            longest = duration(root["longest_wait_s"])
            click.echo(
                f"pid {root['pid']}: {root['victims']} wait, {root['depth']} deep, "
                f"the longest {longest}. To end it: {root['action']}"
            )
    for held in database["prepared"]:
        age = duration(held["age_s"])
        click.echo(f"prepared {held['gid']} of {held['owner']}, {age}. To end it: {held['action']}")
    for queue in database["ddl_queues"]:
        click.echo(
            f"DDL of pid {queue['pid']} waits for {queue['relation']}, {queue['queued_behind']} "
            f"behind it. To let them pass: {queue['action']}"
        )
