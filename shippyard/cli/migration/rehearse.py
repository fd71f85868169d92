"""`shippyard migration rehearse`: try a tree on the newest backup of a folder, without a daemon."""

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shippyard.cli.config_option import asks_for_config
from shippyard.cli.databases import the_database
from shippyard.cli.exits import EXIT_CODES_HELP, ExitCode, Problem
from shippyard.cli.output import Progress, print_json
from shippyard.cli.rehearsed import draw_report, markdown_option, refuse_unpassed, write_markdown

if TYPE_CHECKING:
    from shippyard.config.models import Config, Database
    from shippyard.offline_rehearsal import Asked, Rehearsed


@click.command(epilog=EXIT_CODES_HELP)
@click.argument("revision", default="head")
@asks_for_config
@click.option("--database", help="Which database of it.  [default: the only one]")
@click.option(
    "--tree",
    "ini",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="The alembic.ini of the tree.  [default: migration.alembic_ini of the configuration]",
)
@click.option(
    "--backups",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="The folder of backups.  [default: backup.dir of the configuration]",
)
@click.option("--trust", multiple=True, metavar="KEY", help="A public key that signs backups.")
@markdown_option
@click.option("--json", "as_json", is_flag=True, help="Print the whole report as JSON.")
def rehearse(
    revision: str,
    config_path: Path,
    *,
    database: str | None,
    ini: Path | None,
    backups: Path | None,
    trust: tuple[str, ...],
    markdown: Path | None,
    as_json: bool,
) -> None:
    """Restore the newest backup that is in the folder, and try a tree on it: up, down, up again.

    For CI: no daemon, and production is not asked. The plan goes from where the backup stands to
    REVISION. Exits 1 when it failed, 3 when it could not be tried.

    \b
    Example:
      shippyard migration rehearse --config ci.toml --tree migrations/alembic.ini --markdown pr.md
    """
    from shippyard.telemetry.logging import configure_logging

    configure_logging("error", "auto")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    config, found = the_database(config_path, database)
    asked = _asked(config, found, revision=revision, ini=ini, backups=backups, trust=trust)
    progress = Progress(quiet=as_json)
    try:
        rehearsed = _rehearsed(asked, progress)
    finally:
        progress.finish()
    write_markdown(rehearsed.report, rehearsed.known.hazards, markdown)
    _show(rehearsed, as_json=as_json, silent=str(markdown) == "-")
    refuse_unpassed(rehearsed.report.document())


def _asked(
    config: "Config",
    database: "Database",
    *,
    revision: str,
    ini: Path | None,
    backups: Path | None,
    trust: tuple[str, ...],
) -> "Asked":
    from shippyard.config.migration import Migration
    from shippyard.offline_rehearsal import Asked

    if database.migrator is None:
        raise Problem(f"{database.name} has no migrator; add it to the file", ExitCode.USAGE)
    if config.migration is None and ini is None:
        raise Problem("name the tree with --tree, or in [migration]", ExitCode.USAGE)
    known = config.migration or Migration(alembic_ini=ini or Path())
    policy = known.model_copy(update={"alembic_ini": ini}) if ini else known
    if backups:
        backup = config.backup.model_copy(update={"dir": backups})
        config = config.model_copy(update={"backup": backup})
    return Asked(config, database, policy, revision, database.migrator.user, trust)


def _rehearsed(asked: "Asked", progress: Progress) -> "Rehearsed":
    from shippyard.host.secrets import SecretMissing
    from shippyard.host.signing import KeyUnusable
    from shippyard.migration.rehearsal.rehearser import NotRehearsed
    from shippyard.offline_rehearsal import rehearse as tried

    try:
        return tried(asked, progress.show)
    except NotRehearsed as error:
        raise Problem(str(error), ExitCode.BLOCKED) from None
    except (SecretMissing, KeyUnusable, OSError) as error:
        raise Problem(str(error)) from None


def _show(rehearsed: "Rehearsed", *, as_json: bool, silent: bool) -> None:
    from shippyard.migration.rehearsal.brief import brief

    if as_json:
        document: dict[str, Any] = rehearsed.report.document()
        hazards = [each.document() for each in rehearsed.known.hazards]
        print_json({**document, "hazards": hazards, "comes_back": rehearsed.report.comes_back})
    elif not silent:
        draw_report(brief(rehearsed.report))
