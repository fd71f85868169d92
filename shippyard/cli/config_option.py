"""Owns `--config`: where a command that works without the daemon finds the configuration."""

from pathlib import Path

import click

asks_for_config = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    envvar="SHIPPYARD_CONFIG",
    default=Path("/etc/shippyard/shippyard.toml"),
    show_default=True,
    help="The configuration file (TOML).",
)
