"""`shippyard ctl jobs`: what is scheduled, and how it went last time."""

from typing import Any

import click

from shippyard.cli.ctl.asking import Asking, asks
from shippyard.cli.exits import EXIT_CODES_HELP
from shippyard.cli.output import print_table, when


@click.command(epilog=EXIT_CODES_HELP)
@asks
def jobs(asking: Asking) -> None:
    """Show scheduled jobs, when they are next due and how they last ended.

    \b
    Example:
      shippyard ctl jobs
    """
    asking.show(asking.ask("jobs"), _draw)


def _draw(answer: dict[str, Any]) -> None:
    print_table(
        ("job", "schedule", "next due", "last outcome", "last started", "detail"),
        [_row(job) for job in answer["jobs"]],
        "no jobs",
    )


def _row(job: dict[str, Any]) -> tuple[Any, ...]:
    last = job["last"] or {}
    return (
        job["name"],
        job["schedule"],
        when(job["next_due"]),
        last.get("outcome"),
        when(last.get("started_at")),
        last.get("detail"),
    )
