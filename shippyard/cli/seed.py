"""`shippyard seed`: fill a database with what its environment starts from, or with volume."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shippyard.cli.config_option import asks_for_config
from shippyard.cli.databases import as_migrator, the_database
from shippyard.cli.exits import EXIT_CODES_HELP, ExitCode, Problem
from shippyard.cli.output import Progress, duration, print_json, print_table

if TYPE_CHECKING:
    from shippyard.config.models import Config, Database
    from shippyard.postgres.target import Target
    from shippyard.setup.volume.filling import Progress as Filling

# Larger is a slip of the hand: a thousand is ten million people.
LARGEST = 1000


@click.command(epilog=EXIT_CODES_HELP)
@asks_for_config
@click.option("--database", "name", help="Which database of it.  [default: the only one]")
@click.option(
    "--scale",
    type=click.FloatRange(min=0, min_open=True, max=LARGEST),
    help="Production-like volume instead of development data: 1 is 10,000 people and about "
    "480,000 rows.",
)
@click.option(
    "--table", "tables", multiple=True, help="With --scale: only this one and what it points at."
)
@click.option("--random-seed", type=int, default=1, show_default=True, help="Other volume.")
@click.option("--yes", is_flag=True, help="Production: yes, load reference data there.")
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
def seed(
    *,
    config_path: Path,
    name: str | None,
    scale: float | None,
    tables: tuple[str, ...],
    random_seed: int,
    yes: bool,
    as_json: bool,
) -> None:
    """Load the seeds of the configuration's environment; may be repeated.

    Development gets all, testing countries, staging and production countries and cities; production
    only when the database is named and --yes is given. Works as the migrator's role.

    With --scale: countries and cities, then invented life in empty tables, the same every time;
    never in production.

    \b
    Example:
      shippyard seed --config config/development.toml
      shippyard seed --config config/staging.toml --scale 10
      shippyard seed --config config/production.toml --database shippyar --yes
    """
    config, database = the_database(config_path, name)
    if tables and scale is None:
        raise Problem("--table goes with --scale", ExitCode.USAGE)
    _refuse_in_production(config, database, named=bool(name), yes=yes, scale=scale)
    target = as_migrator(database)
    if scale is None:
        written = _load(target, config)
    else:
        written = _fill(target, scale, random_seed, tables, quiet=as_json)
    _show(database.name, written, as_json=as_json)


def _refuse_in_production(
    config: "Config", database: "Database", *, named: bool, yes: bool, scale: float | None
) -> None:
    if config.environment != "production":
        return
    if scale is not None:
        raise Problem("invented rows never go into production", ExitCode.BLOCKED)
    if not (named and yes):
        raise Problem(
            "this is production; to load countries and cities there: "
            f"shippyard seed --database {database.name} --yes",
            ExitCode.BLOCKED,
        )


def _load(target: "Target", config: "Config") -> list[dict[str, Any]]:
    from shippyard.setup.seed import SeedFailed, load_seeds

    try:
        return [asdict(result) for result in load_seeds(target, config.environment)]
    except SeedFailed as error:
        raise Problem(str(error)) from None


def _fill(
    target: "Target", scale: float, random_seed: int, tables: tuple[str, ...], *, quiet: bool
) -> list[dict[str, Any]]:
    from shippyard.setup.seed import REFERENCE, SeedFailed, load_files
    from shippyard.setup.volume.catalogue import UnknownTable
    from shippyard.setup.volume.filling import FillFailed, FillRefused, fill
    from shippyard.setup.volume.shape import Shape

    progress = Progress(quiet=quiet)
    try:
        reference = load_files(target, REFERENCE)
        shape = Shape(scale=scale, seed=random_seed)
        filled = fill(target, shape, tables, lambda each: progress.show(_step(each)))
    except UnknownTable as error:
        raise Problem(str(error), ExitCode.USAGE) from None
    except FillRefused as error:
        raise Problem(str(error), ExitCode.BLOCKED) from None
    except (SeedFailed, FillFailed) as error:
        raise Problem(str(error)) from None
    finally:
        progress.finish()
    return [*map(asdict, reference), *map(asdict, filled)]


def _step(each: "Filling") -> dict[str, str]:
    left = f", about {duration(each.left_s)} left" if each.left_s else ""
    said = f"{each.rows:,} of about {each.expected:,} rows{left}"
    return {"phase": each.table, "message": said}


def _show(database: str, written: list[dict[str, Any]], *, as_json: bool) -> None:
    rows = sum(each["rows"] for each in written)
    if as_json:
        print_json({"database": database, "rows": rows, "written": written})
        return
    lines = [
        (each.get("file") or each["table"], f"{each['rows']:,}", duration(each["elapsed_s"]))
        for each in written
    ]
    print_table(("what", "rows written", "took"), lines, "nothing to load")
