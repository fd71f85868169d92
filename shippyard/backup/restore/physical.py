"""Owns bringing a base backup back as files that PostgreSQL can recover from.

The files are checked against their own manifest while they are written, links are made anew and
never point to where production's files are, and a folder with anything in it is refused. Starting
the server is somebody else's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from shippyard.backup.manifest import Manifest


class RestoreRefused(Exception):
    """The place or the backup is not fit to be restored; one line says what is there."""


class WalUnusable(Exception):
    """A kept WAL file is there and damaged; one line names it."""


@dataclass(frozen=True)
class BaseFiles:
    """A base backup and its parents as local folders, oldest first: the full one, then the rest."""

    folders: tuple[Path, ...]
    manifests: tuple[Manifest, ...]


class WalSource(Protocol):
    """Where kept WAL can be had from: a folder, or a store off this machine."""

    def segments(self) -> Sequence[str]:
        """Names there are: segments and `.history` files.

        What a receiver had not finished yet is listed under its full name, and only while there is
        no complete one.
        """
        ...

    def fetch(self, name: str, into: Path) -> bool:
        """Write a file, decompressed and proven against its hash, to `into`; False when absent.

        Raises:
            WalUnusable: it is damaged.
        """
        ...


@dataclass(frozen=True)
class LaidOut:
    """A base backup as files. LSNs are what recovery begins from and must get past.

    `tablespaces` are oids to folders. `wal` are segments that came with it, in `pg_wal`.
    `dropped` are files of the backup that were left out, because they would change what recovery
    does. Without `has_settings` production's postgresql.conf was kept elsewhere.
    """

    data_dir: Path
    tablespaces: dict[str, Path]
    timeline: int
    lsn_at_start: int
    lsn_at_end: int
    segment_bytes: int
    system_identifier: str
    wal: tuple[str, ...]
    size_bytes: int
    elapsed_s: float
    dropped: tuple[str, ...] = ()
    has_settings: bool = True
