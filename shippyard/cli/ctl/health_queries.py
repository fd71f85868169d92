"""`shippyard ctl health queries`: the statements that cost the most lately."""

from typing import Any

import click

from shippyard.cli.ctl.asking import Asking, asks
from shippyard.cli.exits import EXIT_CODES_HELP, ExitCode, Problem
from shippyard.cli.output import duration, print_table

WAYS = ("time", "calls", "rows", "reads", "temp")
TEXT_CHARS = 100


@click.command(epilog=EXIT_CODES_HELP)
@click.option("--database", help="Only statements of this one, by its name on the server.")
@click.option("--by", type=click.Choice(WAYS), default="time", show_default=True, help="Of what.")
@click.option("--limit", type=click.IntRange(1, 50), default=10, show_default=True)
@asks
def queries(asking: Asking, database: str | None, by: str, limit: int) -> None:
    """Show the statements that cost the most within the last five minutes.

    \b
    Example:
      shippyard ctl health queries
      shippyard ctl health queries --by reads --limit 5 --json
    """
    params: dict[str, Any] = {"by": by, "limit": limit}
    answer = asking.ask("health.queries", params | ({"database": database} if database else {}))
    asking.show(answer, _draw)
    empty = [each for each in answer["clusters"] if each["error"] and not each["queries"]]
    if empty:
        raise Problem(f"{empty[0]['name']}: {empty[0]['error']}", ExitCode.FAILED)


def _draw(answer: dict[str, Any]) -> None:
    columns = ("database", "calls", "time", "share", "mean ms", "rows/call", "read", "id", "query")
    for cluster in answer["clusters"]:
        window = duration(cluster["window_s"])
        click.echo(f"{cluster['name']}: the last {window}, by {answer['by']}")
        rows = [_row(each) for each in cluster["queries"]]
        print_table(columns, rows, "nothing was called twice yet; it is looked at each half minute")
        if cluster["error"]:
            click.secho(f"! {cluster['error']}", fg="yellow")


def _row(each: dict[str, Any]) -> tuple[Any, ...]:
    text = " ".join((each["query"] or "").split())
    return (
        each["database"],
        f"{each['calls']:.0f}",
        duration(each["time_s"]),
        "" if each["share"] is None else f"{each['share']:.0%}",
        each["mean_ms"],
        each["rows_per_call"],
        f"{each['blocks_read']:.0f}",
        each["queryid"],
        text if len(text) <= TEXT_CHARS else f"{text[:TEXT_CHARS]}…",
    )
