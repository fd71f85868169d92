"""`shippyard migration new`: the next revision, from the tree's template."""

from pathlib import Path

import click

from shippyard.cli.exits import EXIT_CODES_HELP, ExitCode, Problem
from shippyard.cli.migration.checkout import as_seen_from_here, asks_for_tree, sources_of
from shippyard.cli.output import print_json


@click.command(epilog=EXIT_CODES_HELP)
@click.argument("description")
@asks_for_tree
@click.option("--json", "as_json", is_flag=True, help="Print the revision and its file as JSON.")
def new(description: str, ini: Path, *, as_json: bool) -> None:
    """Make the next revision of the tree and print its path. Needs no database.

    It gets the next number and builds on the head; a tree with two heads gets none.

    \b
    Example:
      shippyard migration new "add user preferences"
      shippyard migration new "add user preferences" --tree db/alembic.ini --json
    """
    from shippyard.migration.plan import PlanRefused
    from shippyard.setup.authoring import DescriptionUnusable, RevisionRefused, new_revision

    try:
        made = new_revision(sources_of(ini), description)
    except DescriptionUnusable as error:
        raise Problem(str(error), ExitCode.USAGE) from None
    except (RevisionRefused, PlanRefused) as error:
        raise Problem(str(error)) from None
    file = as_seen_from_here(made.file)
    if as_json:
        print_json({"revision": made.revision, "down_revision": made.down, "file": file})
    else:
        click.echo(file)
