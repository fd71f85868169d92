"""Commands that the manuals tell people to type exist, with the options that are named."""

import re
import shlex
from pathlib import Path

import click
import pytest

from shippyard.cli.main import cli

ROOT = Path(__file__).parents[3]
MANUALS = (
    *(f"docs/{name}.md" for name in ("runbooks", "configuration", "install")),
    *(f"docs/{name}.md" for name in ("restore", "drills", "wal", "offsite", "access", "gates")),
    "docs/approvals.md",
    "CONTRIBUTING.md",
)
COMMAND = re.compile(r"`(shippyard (?:bootstrap|ctl|config|run|demo|doctor|restore|wal)\b[^`]*)`")


def commands_told(manual: str) -> list[str]:
    text = (ROOT / manual).read_text()
    return sorted({" ".join(found.split()) for found in COMMAND.findall(text)})


def unknown_in(line: str) -> str | None:
    """The first word of a command line that the program does not know."""
    command: click.Command = cli
    for word in shlex.split(line)[1:]:
        context = click.Context(command)
        if word.startswith("--"):
            options = {o for p in command.get_params(context) for o in [*p.opts, *p.secondary_opts]}
            if word.split("=")[0] not in options:
                return word
        elif isinstance(command, click.Group) and not word.isupper():
            found = command.get_command(context, word)
            if found is None:
                return word
            command = found
    return None


@pytest.mark.parametrize("line", [c for manual in MANUALS for c in commands_told(manual)])
def test_a_command_that_is_told_exists(line: str) -> None:
    assert unknown_in(line) is None


def test_the_runbooks_tell_many() -> None:
    assert len(commands_told("docs/runbooks.md")) >= 10


@pytest.mark.parametrize(
    ("line", "unknown"),
    [
        ("shippyard ctl backups list", "backups"),
        ("shippyard ctl backup list --every", "--every"),
        ("shippyard ctl backup list DATABASE --all", None),
    ],
)
def test_a_wrong_command_would_be_seen(line: str, unknown: str | None) -> None:
    assert unknown_in(line) == unknown
