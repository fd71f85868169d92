"""Owns the options that several `migrate` commands have, and saying yes on a terminal."""

import sys

import click

from shippyard.cli.exits import ExitCode, Problem

database_option = click.option(
    "--database", help="Which database; needed when there are several.", default=None
)
yes_option = click.option("--yes", is_flag=True, help="Don't ask; the gate still decides.")


def confirm(question: str, *, yes: bool) -> None:
    """Go on only when somebody said so.

    Raises:
        Problem: there is no terminal to ask on.
        click.Abort: the answer was no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise Problem("say --yes to run it without a terminal", ExitCode.USAGE)
    click.confirm(question, abort=True, err=True)


def confirm_by_name(question: str, name: str, *, yes: bool) -> None:
    """The same for what takes something away: the database's name is typed.

    Raises:
        Problem: there is no terminal to ask on, or another name was typed.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise Problem("say --yes to do it without a terminal", ExitCode.USAGE)
    if click.prompt(f"{question} Type {name} to do it", err=True) != name:
        raise Problem("another name was typed; nothing was done", ExitCode.USAGE)
