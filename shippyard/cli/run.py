"""`shippyard run`: be the daemon."""

from pathlib import Path

import click

from shippyard.cli.config_option import asks_for_config
from shippyard.cli.exits import EXIT_CODES_HELP, ExitCode, Problem


@click.command(epilog=EXIT_CODES_HELP)
@asks_for_config
def run(config_path: Path) -> None:
    """Run the daemon in the foreground until SIGTERM.

    SIGHUP reads the configuration again, or says why not and keeps the old one.

    \b
    Example:
      shippyard run --config /etc/shippyard/shippyard.toml
    """
    from shippyard.host.lean import without

    # structlog draws tracebacks with it, for people; 4 MiB that a daemon can spare.
    with without("rich"):
        from shippyard import daemon
        from shippyard.config.loading import ConfigError

    try:
        daemon.run(config_path)
    except ConfigError as error:
        raise Problem(str(error), ExitCode.USAGE) from None
    except daemon.FATAL as error:
        raise Problem(str(error)) from None
