"""Owns the `shippyard` program: which commands there are, and how it ends.

Commands are imported when they are asked for, so that `--help` is quick.
"""

import importlib
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from shippyard import __version__
from shippyard.cli.exits import EXIT_CODES_HELP, ExitCode, Problem

COMMANDS = {
    "bootstrap": "shippyard.cli.bootstrap:bootstrap",
    "config": "shippyard.cli.config:config",
    "ctl": "shippyard.cli.ctl.group:ctl",
    "demo": "shippyard.cli.demo:demo",
    "doctor": "shippyard.cli.doctor:doctor",
    "migration": "shippyard.cli.migration.group:migration",
    "restore": "shippyard.cli.restore:restore",
    "run": "shippyard.cli.run:run",
    "seed": "shippyard.cli.seed:seed",
    "wal": "shippyard.cli.wal:wal",
}


class LazyGroup(click.Group):
    """A group whose commands are named here and imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command called `cmd_name`, or None."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name].split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


@click.group(cls=LazyGroup, epilog=EXIT_CODES_HELP)
@click.version_option(__version__, prog_name="shippyard")
def cli() -> None:
    """Prove, all the time, that backups restore, migrations are safe and the database is healthy.

    \b
    Example:
      shippyard demo --once
      shippyard run --config /etc/shippyard/shippyard.toml
      shippyard ctl status
    """


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit with its code; expected errors are one line on stderr."""
    sys.exit(_run(argv))


def _run(argv: Sequence[str] | None) -> int:
    try:
        ended = cli.main(args=argv, prog_name="shippyard", standalone_mode=False)
    except Problem as problem:
        return _say(str(problem), problem.code)
    except click.ClickException as error:
        return _say(_usage_line(error), ExitCode.USAGE)
    except (click.Abort, KeyboardInterrupt):
        return _say("interrupted", ExitCode.INTERRUPTED)
    return int(ended) if isinstance(ended, int) else ExitCode.OK


def _usage_line(error: click.ClickException) -> str:
    line = " ".join(error.format_message().split())
    path = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else ""
    return f"{line.rstrip('.')}; see '{path} --help'" if path else line


def _say(line: str, code: ExitCode) -> ExitCode:
    click.echo(f"shippyard: {line}", err=True)
    return code
