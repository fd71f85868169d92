"""Owns how restores look to a person: the assessment, the question, what came of it."""

import sys
from collections.abc import Mapping
from typing import Any

import click

from shippyard.cli.exits import ExitCode, Problem
from shippyard.cli.output import duration, print_table, size, when


def draw_assessment(answer: Mapping[str, Any]) -> None:
    """What a person reads before saying yes."""
    backup = answer["backup"]
    click.echo(f"target       {answer['target']}: {answer['state'] or 'not looked at'}")
    click.echo(
        f"to           {answer['point']}" + (f", {answer['part']}" if answer["part"] else "")
    )
    if backup:
        revision = f", revision {backup['revision']}" if backup["revision"] else ""
        click.echo(
            f"from         {backup['id']} of {backup['of']}, {when(backup['started_at'])}, "
            f"{size(backup['size_bytes'])}, PostgreSQL {backup['server_version']}{revision}"
        )
    for number, line in enumerate(answer["recoverable"][-5:]):
        click.echo(f"{'' if number else 'recoverable':<13}{line}")
    click.echo(f"lost         {answer['loss']}")
    click.echo(f"takes        {answer['takes']}")
    click.echo(f"disk         {answer['disk']}")
    for number, step in enumerate(answer["steps"], 1):
        click.echo(f"{'will' if number == 1 else '':<13}{number}. {step}")
    for warning in answer["warnings"]:
        click.secho(f"warning      {warning}", fg="yellow")
    for refusal in answer["refusals"]:
        click.secho(f"refused      {refusal}", fg="red")


def draw_report(answer: Mapping[str, Any]) -> None:
    """What came of it, and how to go on."""
    phases = ", ".join(f"{name} {duration(s)}" for name, s in answer["phases"].items())
    click.secho(
        f"{'restored' if answer['ok'] else 'RESTORED, AND DIFFERENT'}: {answer['backup']} into "
        f"{answer['target']} in {duration(answer['elapsed_s'])} ({phases})",
        fg="green" if answer["ok"] else "red",
    )
    if answer["reached"]:
        click.echo(f"reached      {answer['reached']}")
    click.echo(f"compared     {answer['compared']}")
    for line in answer["differences"]:
        click.secho(f"differs      {line}", fg="red")
    for line in answer["surroundings"]:
        click.secho(f"mend         {line}", fg="yellow")
    for line in dict.fromkeys([*answer["notes"], *answer["not_restored"]]):
        click.echo(f"note         {line}")
    click.echo("\ngo on with:")
    for line in (answer["reach"], *answer["commands"]):
        click.echo(f"  {line}")


def draw_shelf(answer: Mapping[str, Any]) -> None:
    """Every backup there is."""
    rows = [
        (
            b["id"],
            b["of"],
            b["kind"],
            when(b["started_at"]),
            size(b["size_bytes"]),
            b["server_version"],
            "drilled" if b["drilled"] else "",
        )
        for b in answer["backups"]
    ]
    heads = ("id", "of", "kind", "started", "size", "server", "drilled")
    print_table(heads, rows, "no backup here can be restored")
    for each in answer["unusable"]:
        click.secho(f"! {each['subject']}/{each['id']}: {each['why']}", fg="yellow", err=True)
    for key in sorted({each["key_id"] for each in answer["unusable"] if each["key_id"]}):
        click.echo(f"if you know key {key}: --trust {key}", err=True)


def refuse(answer: Mapping[str, Any]) -> None:
    """End when something stands against it.

    Raises:
        Problem: it does; exits 3.
    """
    if answer["refusals"]:
        raise Problem("; ".join(answer["refusals"]), ExitCode.BLOCKED)


def confirm(target: str, *, yes: bool) -> None:
    """Ask for the target's name, unless it was said already.

    Raises:
        Problem: nobody is there to ask, or something else was typed.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise Problem("nothing was done: say --yes to restore without a terminal", ExitCode.USAGE)
    typed = click.prompt(f"Type {target} to restore", err=True, default="", show_default=False)
    if typed.strip() != target:
        raise Problem("nothing was done: that is not the target's name", ExitCode.USAGE)


def end_by(answer: Mapping[str, Any]) -> None:
    """Exit 1 when what was restored is not what was backed up.

    Raises:
        Problem: it is not.
    """
    if not answer["ok"]:
        raise Problem(
            f"{answer['target']} differs from its backup in {len(answer['differences'])} places: "
            f"{answer['differences'][0]}; don't use it before you know why"
        )
