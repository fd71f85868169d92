"""`shippyard migration hazards`: what revisions, or files of SQL, would do to a database in use."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shippyard.cli.exits import EXIT_CODES_HELP, ExitCode, Problem
from shippyard.cli.migration.checkout import as_seen_from_here, asks_for_tree, sources_of
from shippyard.cli.output import print_json, print_table

if TYPE_CHECKING:
    from shippyard.migration.hazards import Hazard

COLUMNS = ("level", "id", "way", "where", "why", "instead")
SQL_MAX_BYTES = 16 * 1024 * 1024


@click.command(epilog=EXIT_CODES_HELP)
@asks_for_tree
@click.option(
    "--from", "since", help="The revisions after this one, as one plan.  [default: each by itself]"
)
@click.option("--json", "as_json", is_flag=True, help="Print the hazards as JSON.")
@click.option("--autocommit", is_flag=True, help="Each statement of the files commits by itself.")
@click.argument(
    "files",
    nargs=-1,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="[FILE.sql]...",
)
def hazards(
    ini: Path, since: str | None, files: tuple[Path, ...], *, autocommit: bool, as_json: bool
) -> None:
    """Say what would lock, rewrite, fail or lose data, as far as text shows it; runs nothing.

    Looks at every revision of the tree both ways, or at files of SQL, each taken as one transaction
    unless --autocommit is given. What each id means is in docs/hazards.md. "# shippyard: allow H30
    because ..." on the line or above it lets one pass. Ends with 1 when one blocks.

    \b
    Example:
      shippyard migration hazards --from 013
      shippyard migration hazards --json changes.sql
    """
    found = _in_files(files, autocommit=autocommit) if files else _in_tree(ini, since)
    if as_json:
        print_json({"hazards": [each.document() for each in found]})
    else:
        print_table(COLUMNS, [_row(each) for each in found], "no hazard is to be seen")
    blocking = [each for each in found if each.level == "block" and each.suppressed is None]
    if blocking:
        raise Problem(f"{len(blocking)} would hurt or fail; see docs/hazards.md")


def _in_tree(ini: Path, since: str | None) -> "list[Hazard]":
    from shippyard.host.process import Processes
    from shippyard.migration.hazards.of_tree import find_in_tree
    from shippyard.migration.plan import PlanRefused
    from shippyard.migration.supervise import RenderFailed

    sources = sources_of(ini)
    processes = Processes()
    try:
        found = find_in_tree(sources.tree, since, processes)
    except PlanRefused as error:
        raise Problem(str(error), ExitCode.USAGE) from None
    except RenderFailed as error:
        raise Problem(str(error)) from None
    finally:
        processes.end_all()
    return [replace(each, file=as_seen_from_here(sources.root / each.file)) for each in found]


def _in_files(files: tuple[Path, ...], *, autocommit: bool) -> "list[Hazard]":
    from shippyard.migration.hazards import find_in_sql

    found: list[Hazard] = []
    for path in files:
        if path.stat().st_size > SQL_MAX_BYTES:
            raise Problem(f"{path} is over 16 MB; is it a migration?", ExitCode.USAGE)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Problem(f"{path} can't be read: {error}", ExitCode.USAGE) from None
        judged = find_in_sql(text, in_transaction=not autocommit)
        found += [replace(each, file=str(path)) for each in judged]
    return found


def _row(each: "Hazard") -> tuple[str, ...]:
    level = f"allowed: {each.suppressed}" if each.suppressed else each.level
    return (level, each.id, each.way, f"{each.file}:{each.line}", each.why, each.instead)
