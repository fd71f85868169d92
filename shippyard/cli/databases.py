"""Owns finding the database that a command means, and how its migrator reaches it."""

from pathlib import Path
from typing import TYPE_CHECKING

from shippyard.cli.exits import ExitCode, Problem

if TYPE_CHECKING:
    from shippyard.config.models import Config, Database
    from shippyard.postgres.target import Target


def the_database(path: Path, name: str | None) -> "tuple[Config, Database]":
    """The configuration, and the database called `name` in it, or its only one.

    Raises:
        Problem: the file is not usable, or it is not clear which.
    """
    from shippyard.config.loading import ConfigError, load_config

    try:
        config = load_config(path)
    except ConfigError as error:
        raise Problem(str(error), ExitCode.USAGE) from None
    known = {database.name: database for database in config.databases}
    if name is None and len(known) == 1:
        return config, config.databases[0]
    if name not in known:
        said = f"no database {name!r} in {path}" if name else "say which: --database NAME"
        raise Problem(f"{said}; there are: {', '.join(known) or 'none'}", ExitCode.USAGE)
    return config, known[name]


def as_migrator(database: "Database") -> "Target":
    """How the role that may change the schema reaches it.

    Raises:
        Problem: the configuration names none, or its password can't be read.
    """
    from shippyard.host.secrets import SecretMissing
    from shippyard.postgres.target import target_of

    if database.migrator is None:
        raise Problem(
            f"{database.name} has no migrator; set databases.migrator in the configuration",
            ExitCode.USAGE,
        )
    try:
        return target_of(database, database.migrator)
    except SecretMissing as error:
        raise Problem(str(error), ExitCode.USAGE) from None
