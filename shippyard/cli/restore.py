"""`shippyard restore`: bring back a backup with no daemon, no state and nothing but its files."""

import getpass
from pathlib import Path
from typing import Any

import click

from shippyard.cli.exits import EXIT_CODES_HELP, ExitCode, Problem
from shippyard.cli.output import Progress, print_json
from shippyard.cli.restoring import (
    confirm,
    draw_assessment,
    draw_report,
    draw_shelf,
    end_by,
    refuse,
)

FOLDER = click.Path(path_type=Path)


@click.command(epilog=EXIT_CODES_HELP)
@click.option(
    "--from", "place", required=True, help="A folder with backups, or s3://, gs://, az://."
)
@click.option("--list", "only_list", is_flag=True, help="Only say which backups there are.")
@click.option("--of", help="Whose backup: a database's name, or @CLUSTER.")
@click.option("--backup", metavar="ID", help="This backup, not the best one for the point.")
@click.option("--at", help="latest, a time with its zone, an LSN, name:X or xid:N (before it).")
@click.option("--timeline", help="Which timeline the point is on.  [default: latest]")
@click.option("--table", metavar="SCHEMA.TABLE", help="Only this table, with all that is its own.")
@click.option("--schema", help="Only this schema.")
@click.option("--into-schema", help="Give the schema this name, beside the one that is there.")
@click.option("--accept-loss", is_flag=True, help="Latest may mean: to just before a hole in WAL.")
@click.option("--host", default="/var/run/postgresql", show_default=True)
@click.option("--port", type=int, default=5432, show_default=True)
@click.option("--user", help="The role that restores.  [default: you]")
@click.option("--dbname", help="The database to restore into.  [default: as it was called]")
@click.option("--passfile", type=FOLDER, envvar="PGPASSFILE", help="Where passwords are (.pgpass).")
@click.option("--sslmode", default="prefer", show_default=True, envvar="PGSSLMODE")
@click.option("--data-dir", type=FOLDER, help="Restore a base backup and WAL here; must be empty.")
@click.option(
    "--tablespaces",
    type=FOLDER,
    help="Where tablespaces go, a folder each.  [default: beside the data folder]",
)
@click.option(
    "--trust",
    multiple=True,
    metavar="KEY",
    help="A key's id or public key: believe what its owner signed, beside what config trusts.",
)
@click.option(
    "--config",
    type=FOLDER,
    envvar="SHIPPYARD_CONFIG",
    help="For keys and the store's credentials.  [default: /etc/shippyard/shippyard.toml]",
)
@click.option("--endpoint", help="Of a store that speaks S3 and is not Amazon's.")
@click.option("--scratch", type=FOLDER, help="For what is fetched or unpacked on the way.")
@click.option("--jobs", type=click.IntRange(1, 64), help="What works at once.")
@click.option("--timeout", "timeout_s", type=float, help="Seconds that it may take.")
@click.option("--yes", is_flag=True, help="Don't ask; without it nothing is done unseen.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def restore(place: str, **given: Any) -> None:
    """Restore a backup with the daemon down and its state lost.

    Shows what is recoverable, what is lost and how long it takes, then asks. Goes into a new or
    empty database, or an empty data folder, and nowhere else; a table or schema goes beside what
    is there. --trust says that whoever holds that key may decide what runs on your server, so
    compare its id with what you wrote down when the backups were made.

    \b
    Example:
      shippyard restore --from /var/backups/shippyard --list
      shippyard restore --from /var/backups/shippyard --of shop --dbname shop_restored
      shippyard restore --from /var/backups/shippyard --of shop --table public.users --yes
      shippyard restore --from s3://acme/db --data-dir /srv/pg --at 2026-03-04T05:06:07Z
    """
    from shippyard.backup.model import BackupUnknown
    from shippyard.backup.restore.archive import (
        RestoreBlocked,
        RestoreFailed,
        RestoreInterrupted,
    )
    from shippyard.backup.restore.service import RestoreRefusedHere
    from shippyard.backup.restore.words import RequestInvalid
    from shippyard.host.signing import KeyUnusable
    from shippyard.offline import Asked, CannotRestore, offline
    from shippyard.telemetry.logging import configure_logging

    configure_logging("error", "auto")
    shared = ("trust", "config", "endpoint", "scratch", "jobs", "timeout_s")
    asked = Asked(place, **{name: given[name] for name in shared})
    try:
        with offline(asked) as tools:
            for note in tools.notes:
                click.echo(f"note: {note}", err=True)
            _restore(tools, given)
    except (CannotRestore, RequestInvalid, KeyUnusable, BackupUnknown) as error:
        raise Problem(str(error), ExitCode.USAGE) from None
    except (RestoreRefusedHere, RestoreBlocked) as error:
        raise Problem(str(error), ExitCode.BLOCKED) from None
    except RestoreInterrupted as error:
        raise Problem(str(error), ExitCode.INTERRUPTED) from None
    except RestoreFailed as error:
        raise Problem(str(error)) from None


def _restore(tools: Any, given: dict[str, Any]) -> None:
    from shippyard.backup.restore.words import (
        assessment_document,
        report_document,
        shelf_document,
    )

    if given["only_list"]:
        shown = shelf_document(tools.restores.backups())
        print_json(shown) if given["as_json"] else draw_shelf(shown)
        if not shown["backups"]:
            raise Problem(f"no backup in {tools.means.place} can be restored")
        return
    wanted, where = _wanted(tools, given)
    assessment = assessment_document(tools.restores.assess(wanted, where))
    quiet = given["as_json"] and given["yes"]
    if not quiet:
        print_json(assessment) if given["as_json"] else draw_assessment(assessment)
    refuse(assessment)
    confirm(where.name, yes=given["yes"])
    progress = Progress(quiet=given["as_json"])
    try:
        report = tools.restores.run(
            wanted, where, asked_by=getpass.getuser(), progress=progress.show
        )
    finally:
        progress.finish()
    shown = report_document(report)
    print_json(shown) if given["as_json"] else draw_report(shown)
    end_by(shown)


def _wanted(tools: Any, given: dict[str, Any]) -> tuple[Any, Any]:
    """What is wanted, and where it goes."""
    from shippyard.backup.restore.dumps import IntoDatabase
    from shippyard.backup.restore.words import wanted_of
    from shippyard.postgres.target import Target

    if given["data_dir"]:
        from shippyard.backup.restore.files import IntoFolder

        folder = IntoFolder(
            given["data_dir"].absolute(), tools.means, tablespaces=given["tablespaces"]
        )
        return wanted_of(given, way="files", target=folder.name), folder
    dbname = given["dbname"]
    if dbname is None:
        dbname = _name_before(tools, wanted_of(given, way="dump", target=""))
    into = Target(
        host=given["host"],
        port=given["port"],
        dbname=dbname,
        user=given["user"] or getpass.getuser(),
        sslmode=given["sslmode"],
        passfile=given["passfile"],
    )
    return wanted_of(given, way="dump", target=into.dbname), IntoDatabase(into, tools.means)


def _name_before(tools: Any, wanted: Any) -> str:
    """What the database was called; without a dump of it nothing can be restored."""
    from shippyard.backup.restore.archive import RestoreFailed
    from shippyard.backup.restore.dumps import name_before

    try:
        return name_before(wanted, tools.restores.backups())
    except RestoreFailed as error:
        raise Problem(str(error), ExitCode.BLOCKED) from None
