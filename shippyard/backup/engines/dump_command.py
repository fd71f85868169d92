"""Owns the arguments of pg_dump and pg_dumpall, and which format an archive has. Pure.

- `directory`: pg_dump itself compresses with zstd and works with several jobs. It is what `auto`
  takes when the program can zstd and jobs are more than one: on two cores a quarter faster than
  one stream, for the same CPU.
- `custom`: one uncompressed stream out of pg_dump into a checksummed zstd frame of ours, hashed on
  its way. A program without zstd has only gzip, which takes four times as long.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shippyard.backup.engines.dump_program import Abilities
from shippyard.config.models import Dump
from shippyard.postgres.target import Target
from shippyard.postgres.tools import Tools

Shape = Literal["directory", "custom"]

RESTRICT_KEY = "--restrict-key"


@dataclass(frozen=True)
class Commands:
    """The commands of one dump. `restrict_key` is None for programs that don't know of one.

    On a standby nobody can read unlogged tables: only their definition is dumped.
    """

    tools: Tools
    target: Target
    snapshot: str
    lock_wait_timeout_s: float
    restrict_key: str | None
    on_standby: bool

    def directory(self, settings: Dump, abilities: Abilities, folder: Path) -> list[str]:
        """The archive as a folder, written by the program itself."""
        level = f"zstd:{settings.compression_level}" if abilities.zstd else "1"
        shape = ["--format=directory", f"--jobs={settings.jobs}", f"--compress={level}"]
        return self._pg_dump(*shape, f"--file={folder}")

    def custom(self) -> list[str]:
        """The archive as a stream on stdout, not compressed."""
        return self._pg_dump("--format=custom", "--compress=0")

    def schema(self, file: Path) -> list[str]:
        """Definitions alone, as SQL."""
        return self._pg_dump(
            "--format=plain", "--schema-only", *self._restricted(), f"--file={file}"
        )

    def globals(self, *, with_passwords: bool) -> list[str]:
        """Roles, tablespaces and settings of the whole server, as SQL on stdout."""
        return [
            self.tools.path("pg_dumpall"),
            "--globals-only",
            *([] if with_passwords else ["--no-role-passwords"]),
            *self._restricted(),
            f"--host={self.target.host}",
            f"--port={self.target.port}",
            f"--username={self.target.user}",
            f"--database={self.target.dbname}",
            "--no-password",
        ]

    def _pg_dump(self, *shape: str) -> list[str]:
        return [
            self.tools.path("pg_dump"),
            *shape,
            f"--snapshot={self.snapshot}",
            f"--lock-wait-timeout={int(self.lock_wait_timeout_s * 1000)}",
            *(["--no-unlogged-table-data"] if self.on_standby else []),
            *self.target.arguments(),
        ]

    def _restricted(self) -> list[str]:
        return [f"{RESTRICT_KEY}={self.restrict_key}"] if self.restrict_key else []


def shape_of(settings: Dump, abilities: Abilities) -> Shape:
    """Which format the archive has; see above."""
    if settings.format != "auto":
        return settings.format
    return "directory" if abilities.zstd and settings.jobs > 1 else "custom"
