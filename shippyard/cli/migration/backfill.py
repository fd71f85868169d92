"""`shippyard migration backfill`: fill what revisions left to be filled in the background."""

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shippyard.cli.config_option import asks_for_config
from shippyard.cli.databases import as_migrator, the_database
from shippyard.cli.exits import EXIT_CODES_HELP, ExitCode, Problem
from shippyard.cli.output import Progress, print_json, print_table, when

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from shippyard.migration.backfill.checkpoint import Checkpoint
    from shippyard.postgres.target import Target

# Rows may be locked for ten minutes; nobody waits for this command.
ATTEMPTS = 600


@click.command(epilog=EXIT_CODES_HELP)
@click.argument("name", required=False)
@asks_for_config
@click.option("--database", help="Which database of it.  [default: the only one]")
@click.option("--list", "only_list", is_flag=True, help="Only say how they stand.")
@click.option("--json", "as_json", is_flag=True, help="Print how they stand as JSON.")
def backfill(
    *, name: str | None, config_path: Path, database: str | None, only_list: bool, as_json: bool
) -> None:
    """Fill what is registered and not finished: the one called NAME, or all, oldest first.

    Works as the migrator's role. May be stopped at any time, and goes on where it was.

    \b
    Example:
      shippyard migration backfill users_email_v2 --config config/staging.toml
      shippyard migration backfill --list
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _, found = the_database(config_path, database)
    progress = Progress(quiet=as_json)
    try:
        standing = _work(as_migrator(found), name, progress, only_list=only_list)
    finally:
        progress.finish()
    _show(standing, as_json=as_json)


def _work(
    target: "Target", name: str | None, progress: Progress, *, only_list: bool
) -> "list[Checkpoint]":
    from sqlalchemy.exc import DBAPIError, OperationalError

    from shippyard.migration.backfill.connecting import connected
    from shippyard.migration.backfill.spec import BackfillRefused
    from shippyard.postgres.session import one_line

    try:
        with connected(target, name or "all") as connection:
            asked = _asked(connection, name)
            return asked if only_list else _fill(connection, asked, progress)
    except BackfillRefused as error:
        raise Problem(str(error)) from None
    except DBAPIError as error:
        said = one_line(error.orig or error)
        if isinstance(error, OperationalError) and not getattr(error.orig, "sqlstate", None):
            raise Problem(f"{target}: {said}", ExitCode.UNREACHABLE) from None
        raise Problem(f"{said}; run it again: it goes on where it was") from None


def _asked(connection: "Connection", name: str | None) -> "list[Checkpoint]":
    from shippyard.migration.backfill.checkpoint import Checkpoints
    from shippyard.migration.backfill.server import Server

    known = Checkpoints(Server(connection)).all()
    asked = [each for each in known if name in {None, each.spec.name}]
    if name and not asked:
        names = ", ".join(each.spec.name for each in known) or "none"
        raise Problem(f"no backfill is called {name!r}; there are: {names}", ExitCode.USAGE)
    return asked


def _fill(
    connection: "Connection", asked: "list[Checkpoint]", progress: Progress
) -> "list[Checkpoint]":
    from shippyard.host.clock import SystemClock
    from shippyard.migration.backfill.course import Patience
    from shippyard.migration.backfill.worker import Worker

    def tell(fields: Mapping[str, Any]) -> None:
        progress.show({"phase": "backfill", "message": fields["message"]})

    worker = Worker(connection, SystemClock(), tell, Patience(attempts=ATTEMPTS))
    return [each if each.finished else worker.run(each.spec) for each in asked]


def _show(standing: "list[Checkpoint]", *, as_json: bool) -> None:
    from shippyard.migration.backfill.checkpoint import share

    if as_json:
        print_json({"backfills": [each.document() for each in standing]})
        return
    rows = [
        (
            each.spec.name,
            each.spec.table,
            "done" if each.finished else share(each.seen, each.estimate),
            f"{each.rows:,}",
            when(each.started_at.isoformat()),
        )
        for each in standing
    ]
    print_table(
        ("backfill", "table", "state", "rows filled", "begun"), rows, "no backfill is registered"
    )
