"""`shippyard migration check`: do models, revisions, schema.sql and a database say the same."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from shippyard.cli.databases import as_migrator, the_database
from shippyard.cli.exits import EXIT_CODES_HELP, ExitCode, Problem
from shippyard.cli.migration.checkout import asks_for_tree, sources_of
from shippyard.cli.output import Progress, print_json, print_table

if TYPE_CHECKING:
    from shippyard.setup.drift import Drift, Live
    from shippyard.setup.sources import Sources


@click.command(epilog=EXIT_CODES_HELP)
@asks_for_tree
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    help="Compare a database of this configuration file too; it is only read.",
)
@click.option("--database", help="Which database of it.  [default: the only one]")
@click.option("--json", "as_json", is_flag=True, help="Print the differences as JSON.")
def check(ini: Path, config_path: Path | None, database: str | None, *, as_json: bool) -> None:
    """Build the revisions on a scratch PostgreSQL and say what differs from them.

    Models are compared object by object: tables, columns, constraints, indexes and comments, also
    where autogenerate does not look. schema.sql must be what the revisions build. With --config, a
    database is compared with the revisions it has had, as its migrator reads it; what it lacks
    is said. Ends with 1 when anything differs.

    "+" is in the second only, "-" in the first only, "~" in both and not the same.

    \b
    Example:
      shippyard migration check
      shippyard migration check --config config/staging.toml --json
    """
    if database and not config_path:
        raise Problem("--database goes with --config", ExitCode.USAGE)
    sources = sources_of(ini)
    live = _live(config_path, database) if config_path else None
    progress = Progress(quiet=as_json)
    progress.show({"phase": "building the revisions on a scratch PostgreSQL"})
    try:
        found, head = _found(sources, live)
    finally:
        progress.finish()
    _show(found, head, as_json=as_json)
    if found:
        raise Problem(f"{len(found)} differences")


def _live(config_path: Path, database: str | None) -> "Live":
    from shippyard.setup.drift import Live

    _, found = the_database(config_path, database)
    return Live(found.name, as_migrator(found))


def _found(sources: "Sources", live: "Live | None") -> "tuple[tuple[Drift, ...], str]":
    from shippyard.host.process import Processes
    from shippyard.migration.plan import PlanRefused
    from shippyard.postgres.embedded import EmbeddedFailed
    from shippyard.postgres.session import QueryFailed, Unreachable
    from shippyard.postgres.tools import ToolsMissing
    from shippyard.setup.drift import find_drift
    from shippyard.setup.schema import SchemaFailed

    processes = Processes()
    try:
        return find_drift(sources, live, processes)
    except Unreachable as error:
        raise Problem(str(error), ExitCode.UNREACHABLE) from None
    except (PlanRefused, SchemaFailed, EmbeddedFailed, ToolsMissing, QueryFailed) as error:
        raise Problem(str(error)) from None
    finally:
        processes.end_all()


def _show(found: "tuple[Drift, ...]", head: str, *, as_json: bool) -> None:
    rows = [(each.before, each.after, each.difference) for each in found]
    if as_json:
        names = ("from", "to", "difference")
        differences = [dict(zip(names, row, strict=True)) for row in rows]
        print_json({"head": head, "differences": differences})
    else:
        print_table(("from", "to", "difference"), rows, f"no difference at {head}")
