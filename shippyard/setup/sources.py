"""Owns where a tree of revisions lies: its alembic.ini, its files, and the folder they are in."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from shippyard.migration.tree import Tree, read_tree


@dataclass(frozen=True)
class Sources:
    """A tree as it was when it was read, and the folder that its paths begin in."""

    ini: Path
    tree: Tree
    root: Path

    @property
    def schema_file(self) -> Path:
        """Where the whole schema stands as text, beside env.py."""
        return self.root / self.tree.scripts / "schema.sql"


def read_sources(ini: Path) -> Sources:
    """The tree that `ini` describes.

    Raises:
        TreeUnusable: it can't be read.
    """
    tree = read_tree(ini)
    root = ini.resolve().parents[len(PurePosixPath(tree.ini).parts) - 1]
    return Sources(ini.resolve(), tree, root)
