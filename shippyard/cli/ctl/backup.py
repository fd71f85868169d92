"""`shippyard ctl backup`: take, list, show, verify, hold and prune backups; rebuild their list."""

from collections.abc import Callable, Mapping
from typing import Any

import click

from shippyard.cli.ctl.asking import Asking, asks, the_database
from shippyard.cli.ctl.copies import copies, replicate
from shippyard.cli.ctl.timeline import timeline
from shippyard.cli.exits import EXIT_CODES_HELP, ExitCode, Problem
from shippyard.cli.output import duration, print_json, print_table, size, when

COLUMNS = ("id", "database", "kind", "state", "reason", "started", "took", "size", "error")

PROOFS = {
    "dump": "hash and full decode agree",
    "schema": "hash and end mark agree",
    "base": "hash, full decode and the server's own manifest agree",
}
"""What a verification that found nothing wrong has proved, by kind."""

WRITES = ("added", "changed")
WOULD = {"added": "would add", "changed": "would change", "kept": "same", "refused": "refused"}


@click.group(epilog=EXIT_CODES_HELP)
@asks
def backup(_: Asking) -> None:
    """Take, list, show, verify, hold and prune backups; rebuild their list.

    A database is named as in the configuration; base backups are of a cluster, `@main` for example.

    \b
    Example:
      shippyard ctl backup run shippyar --kind dump
      shippyard ctl backup list
    """


@backup.command(name="run", epilog=EXIT_CODES_HELP)
@click.argument("database", required=False)
@click.option("--kind", type=click.Choice(["dump", "schema", "base", "all"]), default="all")
@click.option("--incremental", is_flag=True, help="A base backup of what changed since the last.")
@asks
def run_now(asking: Asking, database: str | None, kind: str, *, incremental: bool) -> None:
    """Take a backup now, verify it and publish it. Ctrl-C detaches; the backup goes on.

    \b
    Example:
      shippyard ctl backup run shippyar
      shippyard ctl backup run @main --incremental
    """
    name = the_database(asking, database)
    params = {"database": name, "kind": kind, "incremental": incremental}
    asking.show(asking.ask("backup.run", params, _by_last_size(asking, name)), _draw_list)


def _by_last_size(
    asking: Asking, database: str
) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    """Adds to progress how big the last backup of that kind was."""
    past = asking.ask("backup.list", {"database": database})["backups"]
    sizes = {each["kind"]: each["size_bytes"] for each in reversed(past)}

    def estimate(fields: Mapping[str, Any]) -> Mapping[str, Any]:
        kind = _kind_of(str(fields.get("id", "--")))
        return {**fields, "kind": kind, "expected_bytes": sizes.get(kind)}

    return estimate


@backup.command(name="list", epilog=EXIT_CODES_HELP)
@click.argument("database", required=False)
@click.option("--all", "include_all", is_flag=True, help="Also failed and deleted ones.")
@asks
def list_backups(asking: Asking, database: str | None, *, include_all: bool) -> None:
    """List the backups that count: verified and published.

    \b
    Example:
      shippyard ctl backup list shippyar --all
    """
    params: dict[str, Any] = {"all": include_all}
    if database:
        params["database"] = database
    asking.show(asking.ask("backup.list", params), _draw_list)


@backup.command(epilog=EXIT_CODES_HELP)
@click.argument("backup_id", metavar="ID")
@asks
def show(asking: Asking, backup_id: str) -> None:
    """Show one backup with its manifest.

    \b
    Example:
      shippyard ctl backup show 20260304T050607Z-dump-1a2b3c
    """
    asking.show(asking.ask("backup.show", {"id": backup_id}), print_json)


@backup.command(epilog=EXIT_CODES_HELP)
@click.argument("backup_id", metavar="ID")
@asks
def verify(asking: Asking, backup_id: str) -> None:
    """Read a backup again and say what is wrong with it.

    Its hash is compared; all of a dump is decoded, and a schema must have its end mark.

    \b
    Example:
      shippyard ctl backup verify 20260304T050607Z-dump-1a2b3c
    """
    answer = asking.ask("backup.verify", {"id": backup_id})
    asking.show(answer, _draw_verified)
    if not answer["ok"]:
        raise Problem(f"{backup_id} is damaged; don't count on it", ExitCode.FAILED)


@backup.command(epilog=EXIT_CODES_HELP)
@click.option("--apply/--dry-run", help="Delete, or only show what would be (the default).")
@click.option(
    "--confirm-catalogue",
    is_flag=True,
    help="The list of backups is right, though the state was lost: delete again from now on.",
)
@click.option(
    "--confirm-clock",
    is_flag=True,
    help="The clock is right, though it jumped, and so are all dates: delete again from now on.",
)
@asks
def prune(asking: Asking, *, apply: bool, confirm_catalogue: bool, confirm_clock: bool) -> None:
    """Show what retention keeps and why; with --apply, delete the rest.

    \b
    Example:
      shippyard ctl backup prune --dry-run
      shippyard ctl backup prune --apply
    """
    params = {
        "apply": apply,
        "confirm_catalogue": confirm_catalogue,
        "confirm_clock": confirm_clock,
    }
    asking.show(asking.ask("backup.prune", params), _draw_decisions)


@backup.command(epilog=EXIT_CODES_HELP)
@click.argument("backup_id", metavar="ID")
@click.option("--why", required=True, help="For whoever wonders later.")
@asks
def hold(asking: Asking, backup_id: str, why: str) -> None:
    """Keep a backup from retention until it is released.

    \b
    Example:
      shippyard ctl backup hold 20260304T050607Z-dump-1a2b3c --why "audit of 2025"
    """
    asking.show(asking.ask("backup.hold", {"id": backup_id, "why": why}), _draw_hold)


@backup.command(epilog=EXIT_CODES_HELP)
@click.argument("backup_id", metavar="ID")
@asks
def release(asking: Asking, backup_id: str) -> None:
    """Let retention judge a held backup like any other.

    \b
    Example:
      shippyard ctl backup release 20260304T050607Z-dump-1a2b3c
    """
    asking.show(asking.ask("backup.release", {"id": backup_id}), _draw_hold)


@backup.command(epilog=EXIT_CODES_HELP)
@click.option("--apply", is_flag=True, help="Make the catalogue so. Without it nothing changes.")
@asks
def rebuild(asking: Asking, *, apply: bool) -> None:
    """Make the catalogue again from the manifests on disk, after the state was lost.

    \b
    Example:
      shippyard ctl backup rebuild
      shippyard ctl backup rebuild --apply
    """
    asking.show(asking.ask("backup.rebuild", {"apply": apply}), _draw_found)


def _draw_list(answer: dict[str, Any]) -> None:
    print_table(COLUMNS, [_row(each) for each in answer["backups"]], "no backups")


def _row(each: dict[str, Any]) -> tuple[Any, ...]:
    return (
        each["id"],
        each["database"],
        each["kind"],
        each["state"],
        each["reason"],
        when(each["started_at"]),
        duration(each["duration_s"]),
        size(each["size_bytes"]),
        each["error"],
    )


def _draw_verified(answer: dict[str, Any]) -> None:
    for problem in answer["problems"]:
        click.secho(f"! {problem}", fg="red")
    if answer["ok"]:
        proof = PROOFS[_kind_of(answer["id"])]
        click.echo(f"{answer['id']}: {proof} ({duration(answer['elapsed_s'])})")


def _kind_of(backup_id: str) -> str:
    """A backup's id is time-kind-random."""
    return backup_id.split("-")[1]


def _draw_hold(each: dict[str, Any]) -> None:
    held = each["held_by"]
    click.echo(f"{each['id']}: held by {held}" if held else f"{each['id']}: held by nobody")


def _draw_found(answer: dict[str, Any]) -> None:
    print_table(
        ("id", "database", "catalogue", "state", "held by", "drilled", "why"),
        [
            (
                each["id"],
                each["database"],
                each["change"] if answer["applied"] else WOULD[each["change"]],
                each["state"],
                each["held_by"],
                when(each["drilled_at"]),
                each["why"],
            )
            for each in answer["found"]
        ],
        "no backups on disk",
    )
    if not answer["applied"] and any(each["change"] in WRITES for each in answer["found"]):
        click.echo("nothing was changed; to do it: shippyard ctl backup rebuild --apply")


def _draw_decisions(answer: dict[str, Any]) -> None:
    if answer["frozen"]:
        click.secho(f"! {answer['frozen']}", fg="yellow")
    deleted = set(answer["deleted"])
    print_table(
        ("id", "database", "kind", "decision", "why"),
        [
            (d["id"], d["database"], d["kind"], _decision(d, deleted), d["why"])
            for d in answer["decisions"]
        ],
        "no backups",
    )


def _decision(decision: dict[str, Any], deleted: set[str]) -> str:
    if decision["keep"]:
        return "keep"
    return "deleted" if decision["id"] in deleted else "would delete"


for command in (copies, replicate, timeline):
    backup.add_command(command)
