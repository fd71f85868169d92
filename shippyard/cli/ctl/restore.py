"""`shippyard ctl restore`: what can be brought back, bring it back, and how far that is."""

from typing import Any

import click

from shippyard.cli.ctl.asking import Asking, Refused, asks, the_database
from shippyard.cli.exits import EXIT_CODES_HELP
from shippyard.cli.output import print_table, when
from shippyard.cli.restoring import confirm, draw_assessment, draw_report, end_by, refuse

OPTIONS = (
    click.option("--dbname", help="Restore into this database.  [default: its own name]"),
    click.option("--backup", metavar="ID", help="This backup, not the best one for the point."),
    click.option("--at", help="latest, a time with its zone, an LSN, name:X or xid:N."),
    click.option("--timeline", help="Which timeline the point is on.  [default: latest]"),
    click.option("--table", metavar="SCHEMA.TABLE", help="Only this table."),
    click.option("--schema", help="Only this schema."),
    click.option("--into-schema", help="Give the schema this name, beside the one that is there."),
    click.option("--accept-loss", is_flag=True, help="Latest may be just before a hole in WAL."),
    click.option("--data-dir", help="Restore a base backup and WAL into this empty folder."),
)


def _asks_what(command: Any) -> Any:
    for option in reversed(OPTIONS):
        command = option(command)
    return click.argument("of", metavar="[DATABASE|@CLUSTER]", required=False)(command)


@click.group(epilog=EXIT_CODES_HELP)
@asks
def restore(_: Asking) -> None:
    """Bring a backup back, into a new place; the daemon does it and remembers it.

    With the daemon down, use `shippyard restore --from DIR`.

    \b
    Example:
      shippyard ctl restore assess shop --dbname shop_restored
      shippyard ctl restore run shop --table public.users
    """


@restore.command(epilog=EXIT_CODES_HELP)
@_asks_what
@asks
def assess(asking: Asking, of: str | None, **given: Any) -> None:
    """Say what is recoverable, what is lost, how long it takes; changes nothing.

    Exits 3 when it can't be done, with what stands against it.

    \b
    Example:
      shippyard ctl restore assess shop --at 2026-03-04T05:06:07Z --dbname shop_restored
    """
    answer = asking.ask("restore.assess", _params(asking, of, given))
    asking.show(answer, draw_assessment)
    refuse(answer)


@restore.command(name="run", epilog=EXIT_CODES_HELP)
@_asks_what
@click.option("--yes", is_flag=True, help="Don't ask for the target's name.")
@asks
def run_now(asking: Asking, of: str | None, *, yes: bool, **given: Any) -> None:
    """Assess, ask, restore, compare with the manifest, hand back. Ctrl-C detaches.

    \b
    Example:
      shippyard ctl restore run shop --dbname shop_restored
      shippyard ctl restore run shop --table public.users --yes
    """
    params = _params(asking, of, given)
    assessment = asking.ask("restore.assess", params)
    if not (asking.as_json and yes):
        asking.show(assessment, draw_assessment)
    refuse(assessment)
    confirm(assessment["target"], yes=yes)
    try:
        report = asking.ask("restore.run", {**params, "confirm": assessment["target"]})
    except Refused as refused:
        if refused.detail.get("refusals") and not asking.as_json:
            draw_assessment(refused.detail)
        raise
    asking.show(report, draw_report)
    end_by(report)


@restore.command(epilog=EXIT_CODES_HELP)
@asks
def status(asking: Asking) -> None:
    """Show restores under way, and the last that ended.

    \b
    Example:
      shippyard ctl restore status --json
    """
    asking.show(asking.ask("restore.status"), _draw_status)


def _params(asking: Asking, of: str | None, given: dict[str, Any]) -> dict[str, Any]:
    params = {name: value for name, value in given.items() if value not in (None, False)}
    if of or not given["data_dir"]:
        params["of"] = the_database(asking, of)
    return params


def _draw_status(answer: dict[str, Any]) -> None:
    print_table(
        ("target", "backup", "state", "phase", "by", "started", "message"),
        [
            (
                run["target"],
                run["backup_id"],
                run["state"],
                run["phase"],
                run["asked_by"],
                when(run["started_at"]),
                run["message"],
            )
            for run in answer["restores"]
        ],
        "no restore since the daemon started",
    )
