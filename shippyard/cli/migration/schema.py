"""`shippyard migration schema`: write schema.sql from the revisions."""

from pathlib import Path

import click

from shippyard.cli.exits import EXIT_CODES_HELP, Problem
from shippyard.cli.migration.checkout import as_seen_from_here, asks_for_tree, sources_of
from shippyard.cli.output import print_json


@click.command(epilog=EXIT_CODES_HELP)
@asks_for_tree
@click.option("--json", "as_json", is_flag=True, help="Print the file and whether it changed.")
def schema(ini: Path, *, as_json: bool) -> None:
    """Write schema.sql beside env.py: the whole schema at head, built on a scratch PostgreSQL.

    Every supported PostgreSQL gives the same text.

    \b
    Example:
      shippyard migration schema
      shippyard migration schema --json
    """
    from shippyard.host.files import write_atomically

    sources = sources_of(ini)
    file = sources.schema_file
    made = _made(sources.ini).encode()
    try:
        changed = not file.is_file() or file.read_bytes() != made
        if changed:
            write_atomically(file, made, mode=0o644)
    except OSError as error:
        raise Problem(f"{file}: {error.strerror}") from None
    if as_json:
        print_json({"file": as_seen_from_here(file), "changed": changed})
    else:
        click.echo(f"{as_seen_from_here(file)} {'written' if changed else 'was up to date'}")


def _made(ini: Path) -> str:
    from shippyard.host.process import Processes
    from shippyard.postgres.embedded import EmbeddedFailed
    from shippyard.postgres.tools import ToolsMissing
    from shippyard.setup.schema import SchemaFailed, make_schema

    processes = Processes()
    try:
        return make_schema(processes, ini)
    except (SchemaFailed, EmbeddedFailed, ToolsMissing) as error:
        raise Problem(f"schema.sql is as it was: {error}") from None
    finally:
        processes.end_all()
