"""Owns finding the tree of revisions that a command means."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shippyard.cli.exits import ExitCode, Problem

if TYPE_CHECKING:
    from shippyard.setup.sources import Sources

asks_for_tree: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "--tree",
    "ini",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("migrations/alembic.ini"),
    show_default=True,
    help="The alembic.ini of the tree.",
)


def sources_of(ini: Path) -> "Sources":
    """The tree that `ini` describes, as it is now.

    Raises:
        Problem: it can't be read.
    """
    from shippyard.migration.tree import TreeUnusable
    from shippyard.setup.sources import read_sources

    if not ini.is_file():
        raise Problem(f"no alembic.ini at {ini}; name it with --tree", ExitCode.USAGE)
    try:
        return read_sources(ini)
    except TreeUnusable as error:
        raise Problem(str(error), ExitCode.USAGE) from None


def as_seen_from_here(path: Path) -> str:
    """A path as one would type it: relative where it is below the current folder."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
