"""`shippyard migration lint`: what is wrong with revisions as they are written."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shippyard.cli.exits import EXIT_CODES_HELP, Problem
from shippyard.cli.migration.checkout import as_seen_from_here, asks_for_tree, sources_of
from shippyard.cli.output import print_json

if TYPE_CHECKING:
    from shippyard.migration.lint import Finding


@click.command(epilog=EXIT_CODES_HELP)
@asks_for_tree
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def lint(ini: Path, *, as_json: bool) -> None:
    """Look revisions over without running them: one line for each thing to mend.

    Names and numbers of files, one chain with one head, a docstring that says what running code
    sees, a downgrade that does something, and steps that commit alone in their revision. Ends with
    1 when anything is to be mended.

    \b
    Example:
      shippyard migration lint
      shippyard migration lint --tree db/alembic.ini --json
    """
    from shippyard.migration.lint import find_faults

    sources = sources_of(ini)
    found = find_faults(sources.tree)
    if as_json:
        print_json({"findings": [_document(sources.root, finding) for finding in found]})
    else:
        for finding in found:
            click.echo(_line(sources.root, finding))
    if found:
        raise Problem(f"{len(found)} to mend in {len(sources.tree.version_files())} revisions")


def _line(root: Path, finding: "Finding") -> str:
    file = as_seen_from_here(root / finding.file)
    return f"{file}:{finding.line}: {finding.message} ({finding.rule})"


def _document(root: Path, finding: "Finding") -> dict[str, object]:
    return {**asdict(finding), "file": as_seen_from_here(root / finding.file)}
