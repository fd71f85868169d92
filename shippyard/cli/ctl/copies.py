"""`shippyard ctl backup copies` and `replicate`: copies off the machine."""

from typing import Any

import click

from shippyard.cli.ctl.asking import Asking, asks
from shippyard.cli.exits import EXIT_CODES_HELP, ExitCode, Problem
from shippyard.cli.output import print_table, size, when

COLUMNS = ("id", "database", "kind", "state", "started", "verified", "size", "keys", "error")


@click.command(epilog=EXIT_CODES_HELP)
@click.argument("backup_id", metavar="ID", required=False)
@asks
def copies(asking: Asking, backup_id: str | None) -> None:
    """List copies off the machine; with ID, also ask the store what it has of that one.

    A copy counts once every part of it was downloaded again and compared.

    \b
    Example:
      shippyard ctl backup copies
      shippyard ctl backup copies 20260304T050607Z-dump-1a2b3c
    """
    answer = asking.ask("backup.copies", {"id": backup_id} if backup_id else {})
    asking.show(answer, _draw)
    problem = answer.get("store", {}).get("problem")
    if problem:
        raise Problem(f"{backup_id} can't be restored from there: {problem}", ExitCode.FAILED)


@click.command(epilog=EXIT_CODES_HELP)
@click.argument("backup_id", metavar="ID")
@asks
def replicate(asking: Asking, backup_id: str) -> None:
    """Copy a backup off the machine now. Ctrl-C detaches; the copying goes on.

    What is there already is read again and compared; parts that differ are sent once more.

    \b
    Example:
      shippyard ctl backup replicate 20260304T050607Z-dump-1a2b3c
    """
    asking.show(asking.ask("backup.replicate", {"id": backup_id}), _draw_copied)


def _draw(answer: dict[str, Any]) -> None:
    print_table(COLUMNS, [_row(each) for each in answer["copies"]], f"no copy in {answer['place']}")
    store = answer.get("store")
    if store and not store["problem"]:
        keys = ", ".join(store["key_ids"]) or "nobody: it is not encrypted"
        click.echo(
            f"in the store: {store['parts']} parts, {size(store['stored_bytes'])}, "
            f"copied {when(store['copied_at'])}, encrypted to {keys}"
        )


def _row(each: dict[str, Any]) -> tuple[Any, ...]:
    return (
        each["backup_id"],
        each["database"],
        each["kind"],
        each["state"],
        when(each["started_at"]),
        when(each["verified_at"]),
        size(each["size_bytes"]),
        ", ".join(each["key_ids"]),
        each["error"],
    )


def _draw_copied(answer: dict[str, Any]) -> None:
    click.echo(
        f"{answer['backup_id']}: {answer['parts']} parts in {answer['place']} read back and equal; "
        f"{size(answer['sent_bytes'])} sent, {answer['kept_parts']} parts were there, "
        f"{answer['mended_parts']} mended"
    )
    click.echo(f"can it be deleted? {answer['protection']['detail']}")
