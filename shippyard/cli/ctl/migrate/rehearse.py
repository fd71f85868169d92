"""`shippyard ctl migrate rehearse`, `rehearsals` and `rehearsal`: a plan tried on a backup."""

from pathlib import Path
from typing import Any

import click

from shippyard.cli.ctl.asking import Asking, asks, the_database
from shippyard.cli.ctl.migrate.options import database_option
from shippyard.cli.exits import EXIT_CODES_HELP
from shippyard.cli.output import print_table, when
from shippyard.cli.rehearsed import draw_report, markdown_option, refuse_unpassed, write_text


@click.command(epilog=EXIT_CODES_HELP)
@click.argument("revision", default="head")
@database_option
@markdown_option
@asks
def rehearse(asking: Asking, revision: str, database: str | None, markdown: Path | None) -> None:
    """Try a plan on the newest verified backup: restored, up, down, compared, up again.

    Production is only read. The restore counts as a drill. Says which locks are taken and for how
    long, what is rewritten, what becomes slower, and whether schema and data come back. Ctrl-C
    detaches; the rehearsal goes on. Exits 1 when it failed, 3 when it could not be tried.

    \b
    Example:
      shippyard ctl migrate rehearse
      shippyard ctl migrate rehearse 014 --markdown summary.md
    """
    params = {"database": the_database(asking, database), "revision": revision}
    _show(asking, asking.ask("migrate.rehearse", params), markdown)


@click.command(epilog=EXIT_CODES_HELP)
@click.argument("database", required=False)
@asks
def rehearsals(asking: Asking, database: str | None) -> None:
    """List what was rehearsed, newest first.

    \b
    Example:
      shippyard ctl migrate rehearsals shippyar
    """
    params = {"database": database} if database else {}
    asking.show(asking.ask("migrate.rehearsals", params), _draw_list)


@click.command(epilog=EXIT_CODES_HELP)
@click.argument("rehearsal_id", metavar="ID")
@markdown_option
@asks
def rehearsal(asking: Asking, rehearsal_id: str, markdown: Path | None) -> None:
    """Show one rehearsal whole. Exits as it ended.

    \b
    Example:
      shippyard ctl migrate rehearsal 20261123T031500Z-rehearsal-1f2e3d --markdown -
    """
    _show(asking, asking.ask("migrate.rehearsal", {"id": rehearsal_id}), markdown)


def _show(asking: Asking, report: dict[str, Any], markdown: Path | None) -> None:
    text = report.pop("markdown")
    write_text(text, markdown)
    if str(markdown) != "-":
        asking.show(report, draw_report)
    refuse_unpassed(report)


def _draw_list(answer: dict[str, Any]) -> None:
    print_table(
        (
            "rehearsal",
            "database",
            "from",
            "to",
            "outcome",
            "comes back",
            "backup",
            "ended",
            "error",
        ),
        [
            (
                each["id"],
                each["database"],
                each["from_revision"] or "base",
                each["to_revision"],
                each["outcome"],
                "yes" if each["comes_back"] else "no",
                each["backup_id"],
                when(each["finished_at"]),
                each["error"],
            )
            for each in answer["rehearsals"]
        ],
        "nothing was rehearsed yet",
    )
