"""Owns making a new revision file: the next number, the tree's own template.

Runs the tree's env.py, which is its author's code: for the command line, never for the daemon.
"""

from argparse import Namespace
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import Script

from shippyard.migration.naming import next_number, slug_of
from shippyard.migration.plan import PlanRefused, heads_of, read_revisions
from shippyard.migration.tree import read_tree
from shippyard.postgres.session import one_line


class RevisionRefused(Exception):
    """No file was made; one line that says what to do."""


def new_revision(ini: Path, description: str) -> Path:
    """Write the next revision of the tree that `ini` describes; gives the file.

    Raises:
        RevisionRefused: nothing to call it by, two heads, or the tree's env.py or template failed.
        PlanRefused: a revision can't be read.
        TreeUnusable: the tree can't be read.
    """
    _expect_words(description)
    revisions = read_revisions(read_tree(ini))
    heads = heads_of(revisions)
    if len(heads) > 1:
        raise RevisionRefused(
            f"the tree has several heads ({', '.join(heads)}); let one build on another first: "
            "shippyard migration lint"
        )
    if revisions and not heads:
        raise PlanRefused("revisions build on each other in a circle; mend their down_revision")
    return _written(ini, description, next_number(revisions))


def _expect_words(description: str) -> None:
    if not slug_of(description):
        raise RevisionRefused('say what it does: shippyard migration new "add user preferences"')
    if not description.isprintable() or '"""' in description or "\\" in description:
        raise RevisionRefused("describe it in one line, without backslashes and triple quotes")


def _written(ini: Path, description: str, number: str) -> Path:
    # env.py asks which command it runs for; quiet, because what is printed is ours to say
    asked = Namespace(cmd=(command.revision,), autogenerate=False, quiet=True)
    try:
        made = command.revision(Config(ini, cmd_opts=asked), message=description, rev_id=number)
    except Exception as error:
        raise RevisionRefused(f"{ini}: {one_line(error)}") from error
    assert isinstance(made, Script)  # one head, one file
    return Path(made.path)
