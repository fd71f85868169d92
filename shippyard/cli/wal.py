"""`shippyard wal`: receive WAL, and hand it over and back; all without the daemon."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from shippyard.backup.wal.push import DEFAULT_SPOOL
from shippyard.cli.config_option import asks_for_config
from shippyard.cli.exits import EXIT_CODES_HELP, ExitCode, Problem

if TYPE_CHECKING:
    from shippyard.config.models import Config

ENDS_RECOVERY = 200
"""PostgreSQL takes any status up to 125 for the end of WAL, and promotes."""
FETCH_CODES_HELP = """\b
Exit codes:
  0    written
  1    there is none
  200  it is damaged, or can't be had; PostgreSQL then ends recovery
"""


@click.group(epilog=EXIT_CODES_HELP)
def wal() -> None:
    """Receive a server's WAL as it is written, or take it from archive_command.

    \b
    Example:
      shippyard wal receive main --create-slot
      archive_command = 'shippyard wal push %p'
    """


@wal.command(epilog=EXIT_CODES_HELP)
@click.argument("name")
@click.option("--create-slot", is_flag=True, help="Make the replication slot when it is missing.")
@asks_for_config
def receive(name: str, config_path: Path, *, create_slot: bool) -> None:
    """Receive the WAL of cluster NAME until SIGTERM, compress it and keep it.

    Works while the daemon is down. What the server no longer has is declared lost, and is a gap
    until the next base backup.

    \b
    Example:
      shippyard wal receive main
      systemctl enable --now shippyard-wal@main
    """
    from shippyard.backup.lock import Busy
    from shippyard.backup.wal.unit import NotStreamed, receive_until_stopped
    from shippyard.host.secrets import SecretMissing

    try:
        receive_until_stopped(_loaded(config_path), name, create_slot=create_slot)
    except NotStreamed as error:
        raise Problem(str(error), ExitCode.USAGE) from None
    except Busy as busy:
        raise Problem(f"WAL of {name} is being received already, by: {busy}") from None
    except (SecretMissing, OSError) as error:
        raise Problem(str(error)) from None


@wal.command(epilog=EXIT_CODES_HELP)
@click.argument("path", metavar="PATH", type=click.Path(path_type=Path))
@click.option(
    "--spool",
    type=click.Path(path_type=Path),
    default=DEFAULT_SPOOL,
    show_default=True,
    help="Where the daemon takes it from: backup.clusters.NAME.spool.",
)
def push(path: Path, spool: Path) -> None:
    """Hand the WAL file at PATH over to be kept; for archive_command, with %p as PATH.

    It is on disk when this succeeds. The daemon need not run. No configuration is read.

    \b
    Example:
      archive_command = 'shippyard wal push %p'
    """
    from shippyard.backup.wal.push import PushRefused
    from shippyard.backup.wal.push import push as hand_over

    try:
        hand_over(path, spool)
    except PushRefused as error:
        raise Problem(str(error)) from None
    except OSError as error:
        raise Problem(f"{path}: {error.strerror or error}") from None


@wal.command(epilog=FETCH_CODES_HELP)
@click.argument("name", metavar="NAME")
@click.argument("path", metavar="PATH", type=click.Path(path_type=Path))
@click.option("--cluster", help="Whose WAL; may be left out when one cluster keeps WAL.")
@asks_for_config
@click.pass_context
def fetch(
    ctx: click.Context, name: str, path: Path, cluster: str | None, config_path: Path
) -> None:
    """Write the kept WAL file NAME to PATH, decompressed and compared with its hash.

    For restore_command, with %f as NAME and %p as PATH.

    \b
    Example:
      restore_command = 'shippyard wal fetch %f %p --cluster main'
    """
    try:
        found = _fetched(config_path, cluster, name, path)
    except Exception as error:  # noqa: BLE001  recovery that went on would end too early
        click.echo(f"shippyard: {error}", err=True)
        ctx.exit(ENDS_RECOVERY)
    if not found:
        raise Problem(f"{name} is not kept")


def _fetched(config_path: Path, cluster: str | None, name: str, path: Path) -> bool:
    from shippyard.backup.model import subject_of_cluster
    from shippyard.backup.wal.archive import WalArchive

    config = _loaded(config_path)
    kept = [each for each, settings in config.backup.clusters.items() if settings.wal != "off"]
    whose = cluster or (kept[0] if len(kept) == 1 else None)
    if whose not in kept:
        known = ", ".join(kept) or "none is kept"
        raise Problem(f"whose WAL? name one with --cluster: {known}", ExitCode.USAGE)
    return WalArchive(config.backup.dir, subject_of_cluster(whose)).fetch(Path(name).name, path)


def _loaded(path: Path) -> "Config":
    from shippyard.config.loading import ConfigError, load_config

    try:
        return load_config(path)
    except ConfigError as error:
        raise Problem(str(error), ExitCode.USAGE) from None
