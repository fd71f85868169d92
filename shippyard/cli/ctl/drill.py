"""`shippyard ctl drill`: restore backups into a sandbox to prove that they can be."""

from typing import Any

import click

from shippyard.cli.ctl.asking import Asking, Refused, asks
from shippyard.cli.exits import EXIT_CODES_HELP
from shippyard.cli.output import duration, print_table, size, when

COLUMNS = (
    "id",
    "backup",
    "outcome",
    "started",
    "ready after",
    "lost: cluster",
    "lost: machine",
    "error",
)


@click.group(epilog=EXIT_CODES_HELP)
@asks
def drill(_: Asking) -> None:
    """Restore backups into a sandbox, compare them and measure how long it takes.

    \b
    Example:
      shippyard ctl drill run shippyar --kind dump
      shippyard ctl drill list
    """


@drill.command(name="run", epilog=EXIT_CODES_HELP)
@click.argument("subject", required=False)
@click.option("--kind", type=click.Choice(["dump", "schema", "base"]), help="Only this kind.")
@click.option("--backup", "backup_id", metavar="ID", help="This very backup.")
@click.option("--older", is_flag=True, help="One that is not the newest, by chance.")
@asks
def run_now(
    asking: Asking, subject: str | None, kind: str | None, backup_id: str | None, *, older: bool
) -> None:
    """Drill the newest backup of each kind of SUBJECT, a database or @cluster; without it, of all.

    Ctrl-C detaches; the drill goes on.

    \b
    Example:
      shippyard ctl drill run shippyar
      shippyard ctl drill run @main --older
    """
    params = {"subject": subject, "kind": kind, "backup": backup_id, "older": older}
    try:
        answer = asking.ask("drill.run", {k: v for k, v in params.items() if v})
    except Refused as refused:
        if refused.detail.get("drills"):
            asking.show(refused.detail, _draw_list)
        raise
    asking.show(answer, _draw_list)


@drill.command(name="list", epilog=EXIT_CODES_HELP)
@click.argument("subject", required=False)
@asks
def list_drills(asking: Asking, subject: str | None) -> None:
    """List drills, newest first.

    \b
    Example:
      shippyard ctl drill list @main
    """
    answer = asking.ask("drill.list", {"subject": subject} if subject else {})
    asking.show(answer, _draw_list)


@drill.command(epilog=EXIT_CODES_HELP)
@click.argument("drill_id", metavar="ID")
@asks
def show(asking: Asking, drill_id: str) -> None:
    """Show what one drill did, compared and measured.

    \b
    Example:
      shippyard ctl drill show 20260304T050607Z-drill-1a2b3c
    """
    asking.show(asking.ask("drill.show", {"id": drill_id}), _draw_one)


def _draw_list(answer: dict[str, Any]) -> None:
    print_table(COLUMNS, [_row(each) for each in answer["drills"]], "no drills")


def _row(each: dict[str, Any]) -> tuple[Any, ...]:
    return (
        each["id"],
        each["backup_id"],
        each["outcome"],
        when(each["started_at"]),
        duration(each["rto_s"]),
        duration(each["rpo_cluster_s"]),
        duration(each["rpo_machine_s"]),
        each["error"],
    )


def _draw_one(answer: dict[str, Any]) -> None:
    report = answer["report"]
    click.echo(f"{answer['id']}: {answer['kind']} backup {answer['backup_id']}")
    click.secho(f"  {answer['outcome']}", fg="green" if answer["outcome"] == "passed" else "red")
    if answer["error"]:
        click.echo(f"  {answer['error']}")
    click.echo(
        f"  ready after {duration(answer['rto_s'])}, {size(answer['size_bytes'])}; lost with the "
        f"cluster {duration(answer['rpo_cluster_s'])}, with the machine "
        f"{duration(answer['rpo_machine_s'])}"
    )
    for phase, seconds in report.get("phases", {}).items():
        click.echo(f"    {phase:<9}{duration(seconds)}")
    for look in report.get("looks", []):
        _draw_look(look)
    for line in report.get("notes", []):
        click.echo(f"  note: {line}")
    for line in report.get("differs", []):
        click.echo(f"  unlike production: {line}")


def _draw_look(look: dict[str, Any]) -> None:
    detail = f" ({look['detail']})" if look["detail"] else ""
    if not look["problems"]:
        click.echo(f"  right: {look['what']}{detail}")
    for problem in look["problems"]:
        click.secho(f"  wrong: {look['what']}: {problem}", fg="red")
