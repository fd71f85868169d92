"""`shippyard config`: look at a configuration file without starting anything."""

import json
from pathlib import Path

import click

from shippyard.cli.exits import EXIT_CODES_HELP, ExitCode, Problem


@click.group(epilog=EXIT_CODES_HELP)
def config() -> None:
    """Check a configuration file.

    \b
    Example:
      shippyard config check /etc/shippyard/shippyard.toml
    """


@config.command(epilog=EXIT_CODES_HELP)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the whole configuration as JSON.")
def check(file: Path, *, as_json: bool) -> None:
    """Say whether FILE can be used; names the first problem if not.

    \b
    Example:
      shippyard config check config/production.toml --json
    """
    from shippyard.config.loading import ConfigError, load_config
    from shippyard.examine import examine

    try:
        loaded = load_config(file)
        notes = examine(loaded)
    except ConfigError as error:
        raise Problem(str(error), ExitCode.USAGE) from None
    if as_json:
        click.echo(json.dumps(loaded.model_dump(mode="json"), indent=2))
    else:
        for note in notes:
            click.echo(f"note: {note}", err=True)
        click.echo(f"{file}: good ({loaded.environment}, {len(loaded.databases)} databases)")
