"""Owns making a new revision file: the next number, the tree's own template.

Runs the tree's env.py, which is its author's code: for the command line, never for the daemon.
"""

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import Script

from shippyard.migration.naming import next_number, slug_of
from shippyard.migration.plan import heads_of, read_revisions
from shippyard.postgres.session import one_line
from shippyard.setup.sources import Sources


class RevisionRefused(Exception):
    """No file was made; one line that says what to do."""


class DescriptionUnusable(Exception):
    """A revision can't be called that; one line that says why."""


@dataclass(frozen=True)
class Made:
    """A revision that was made, what it builds on (None: it is the first), and its file."""

    revision: str
    down: str | None
    file: Path


def new_revision(sources: Sources, description: str) -> Made:
    """Write the next revision of a tree.

    Raises:
        DescriptionUnusable: nothing to call it by, or it does not fit into a docstring.
        RevisionRefused: two heads, or the tree's env.py or template failed.
        PlanRefused: a revision can't be read.
    """
    _expect_words(description)
    revisions = read_revisions(sources.tree)
    heads = heads_of(revisions)
    if len(heads) > 1:
        raise RevisionRefused(
            f"the tree has several heads ({', '.join(heads)}); let one build on another first: "
            "shippyard migration lint"
        )
    number = next_number(revisions)
    file = _written(sources.ini, description, number)
    return Made(number, heads[0] if heads else None, file)


def _expect_words(description: str) -> None:
    if not slug_of(description):
        raise DescriptionUnusable(
            'say in words what it does: shippyard migration new "add user preferences"'
        )
    if not description.isprintable() or '"' in description or "\\" in description:
        raise DescriptionUnusable("describe it in one line, without quotes and backslashes")


def _written(ini: Path, description: str, number: str) -> Path:
    # env.py asks which command it runs for; quiet, because what is printed is ours to say
    asked = Namespace(cmd=(command.revision,), autogenerate=False, quiet=True)
    try:
        made = command.revision(Config(ini, cmd_opts=asked), message=description, rev_id=number)
    except Exception as error:
        raise RevisionRefused(f"{ini}: {one_line(error)}") from error
    assert isinstance(made, Script)  # one head, one file
    return Path(made.path)
