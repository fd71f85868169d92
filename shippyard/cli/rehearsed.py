"""Owns how a rehearsal looks to a person, and how a command ends that made one."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shippyard.cli.exits import ExitCode, Problem
from shippyard.cli.output import duration, print_table

if TYPE_CHECKING:
    from shippyard.migration.hazards.model import Hazard
    from shippyard.migration.rehearsal.report import Report

markdown_option = click.option(
    "--markdown",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="Also write a summary for a pull request there; - prints it alone.",
)


def write_markdown(report: "Report", hazards: "Sequence[Hazard]", into: Path | None) -> None:
    """A summary for a pull request, where one was asked for."""
    from shippyard.migration.rehearsal.markdown import as_markdown

    write_text(as_markdown(report, hazards), into)


def write_text(text: str, into: Path | None) -> None:
    """A text into a file, or to standard output for `-`."""
    if into:
        with click.open_file(str(into), "w", encoding="utf-8") as file:
            file.write(text)


def refuse_unpassed(report: dict[str, Any]) -> None:
    """End as the rehearsal did.

    Raises:
        Problem: it did not pass.
    """
    if report["outcome"] == "passed":
        return
    code = ExitCode.BLOCKED if report["outcome"] == "blocked" else ExitCode.FAILED
    raise Problem(f"rehearsal {report['outcome']}: {report['error']}", code)


def draw_report(report: dict[str, Any]) -> None:
    """A rehearsal as a person wants to read it."""
    way = f"{report['from_revision'] or 'base'} → {report['to_revision']}"
    click.echo(
        f"{report['database']}: {way} rehearsed on backup {report['backup_id'] or 'none'}, "
        f"{report['outcome']} in {duration(report['elapsed_s'])} ({report['id']})"
    )
    for passage in report["passages"]:
        _draw_passage(passage)
    if report["outcome"] == "passed":
        back = "schema and data come back" if report["comes_back"] else "the way back is not proven"
        click.echo(f"  {back}")
    for name in ("schema_differences", "losses", "unproven", "slower", "changed", "differs"):
        for line in report[name]:
            click.echo(f"  {name.replace('_', ' ')}: {line}")
    if report["left_out"]:
        click.echo(f"  {report['left_out']} more lines are left out here")


def _draw_passage(passage: dict[str, Any]) -> None:
    recorded = passage["recorded"]
    kinds = ", ".join(passage["kinds"]) or "as before"
    click.echo(f"  {passage['way']}: {passage['error'] or kinds}, {recorded['elapsed_s']:.1f} s")
    rows = [
        (each["relation"], f"{each['reads_ms']:.0f} ms", f"{each['writes_ms']:.0f} ms")
        for each in recorded["blocked"]
        if each["reads_ms"] or each["writes_ms"]
    ]
    if rows:
        print_table(("relation", "readers wait", "writers wait"), rows, "")
    for name in ("rewrites", "scans"):
        if recorded[name]:
            click.echo(f"    {name}: {', '.join(recorded[name])}")
