"""Owns what an engine is: what makes one kind of artifact and can prove that one is whole.

A job drives it through the states; an engine knows no catalog, no lock and no schedule.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from shippyard.backup.manifest import Content, Environment, FileEntry, Made, Source


class EngineFailed(Exception):
    """The work was not done; the message is one line in the tool's own words, with the remedy."""


@dataclass(frozen=True)
class Preflight:
    """What was found before anything was written. `expected_bytes` is None when unknown."""

    source: Source
    server_major: int
    expected_bytes: int | None = None


@dataclass(frozen=True)
class Product:
    """What an engine wrote into the folder it was given, every stage having ended well.

    `hashes` are those that were taken while the files were written, by file name; files without
    one are hashed after they are on disk.
    """

    made: Made
    source: Source
    hashes: dict[str, FileEntry]
    environment: Environment | None = None
    content: Content | None = None
    parent: str | None = None
    wal_first: str | None = None
    external: str | None = None
    external_bytes: int = 0


class Engine(Protocol):
    """Makes one kind of artifact of one subject."""

    def preflight(self) -> Preflight:
        """Look at the server: version, rights, slots. Takes no lock and writes nothing.

        Raises:
            EngineFailed: it can't work; says what to run.
        """
        ...

    def make(self, folder: Path, preflight: Preflight, on_size: Callable[[int], None]) -> Product:
        """Write the artifact's files into `folder` (0700, empty); files are 0600.

        Raises:
            EngineFailed: a stage failed, was ended, or ran past its time.
        """
        ...

    def verify(self, folder: Path, files: tuple[FileEntry, ...]) -> tuple[str, list[str]]:
        """How the artifact was decoded to its end, in a few words, and what is wrong with it.

        Hashes and sizes are compared by the caller.
        """
        ...
