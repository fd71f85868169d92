"""Owns base backups that another engine makes and keeps: we drive it, and doubt it.

The artifact of ours is a record of what its repository holds; the files stay there, and so does
the deciding of how long. Knows no engine by name.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from shippyard.backup.engines.engine import EngineFailed, Preflight, Product
from shippyard.backup.engines.repository import Held, Repository
from shippyard.backup.manifest import FileEntry, Made
from shippyard.backup.source import environment_of, source_of
from shippyard.backup.wal.names import parse_segment
from shippyard.backup.wal.scan import BasePosition, Holdings, scan, segments_in
from shippyard.host.files import write_atomically
from shippyard.postgres.session import QueryFailed, Unreachable, one_line, session
from shippyard.postgres.target import Target

RECORD = "repository.json"
_SEGMENT_SIZE = "SELECT setting AS bytes FROM pg_settings WHERE name = 'wal_segment_size'"


class ExternalEngine:
    """Implements `Engine` over a repository; `target` is where the server can be asked."""

    def __init__(self, repository: Repository, target: Target, *, incremental: bool) -> None:
        self._repository = repository
        self._target = target
        self._incremental = incremental

    def preflight(self) -> Preflight:
        """Look at the server and at the engine.

        Raises:
            EngineFailed: one of them can't be worked with.
        """
        self._repository.version()
        self._repository.held()
        try:
            with session(self._target, "backup") as opened:
                return Preflight(source_of(opened), opened.server_version // 10_000)
        except (Unreachable, QueryFailed) as error:
            raise EngineFailed(one_line(error)) from None

    def make(self, folder: Path, preflight: Preflight, on_size: Callable[[int], None]) -> Product:
        """Have the engine take one, and write down which one it is.

        Raises:
            EngineFailed: it failed, or says that it is done and nothing new is there.
        """
        before = {held.label for held in self._repository.held()}
        self._repository.back_up(incremental=self._incremental)
        new = [held for held in self._repository.held() if held.label not in before]
        if not new:
            raise EngineFailed(f"{self._repository.name} said that it was done, with nothing new")
        made = new[-1]
        on_size(made.size_bytes)
        write_atomically(folder / RECORD, json.dumps(asdict(made), indent=1, default=str).encode())
        return self._product(made, preflight)

    def verify(self, folder: Path, files: tuple[FileEntry, ...]) -> tuple[str, list[str]]:  # noqa: ARG002  there is one, our record
        """What the engine finds, and what it does not look for: a backup that is not sound, a gap.

        Raises:
            EngineFailed: the engine can't be asked.
        """
        label = json.loads((folder / RECORD).read_text())["label"]
        held = {each.label: each for each in self._repository.held()}
        method = f"{self._repository.name} verify, and no gap in its WAL"
        if label not in held:
            return method, [f"{label} is not in {self._repository.name}'s repository any more"]
        problems = self._repository.problems(label)
        if not held[label].sound:
            problems.append(f"{self._repository.name} says that {label} is not sound")
        return method, [*problems, *self._gaps(held[label])]

    def _gaps(self, held: Held) -> list[str]:
        """Segments that recovery from the backup would look for and not find."""
        size_bytes = self._segment_bytes()
        first = parse_segment(held.wal_first, size_bytes)
        kept = Holdings(size_bytes, segments_in(self._repository.segments(), size_bytes))
        report = scan(kept, [BasePosition(held.label, first, held.stopped_at)])
        names = [name for gap in report.gaps for name in gap.names(size_bytes)]
        return [f"WAL segment {name} is not in {self._repository.name}'s archive" for name in names]

    def _segment_bytes(self) -> int:
        try:
            with session(self._target, "backup") as opened:
                return int(opened.query(_SEGMENT_SIZE)[0]["bytes"])
        except (Unreachable, QueryFailed) as error:
            raise EngineFailed(one_line(error)) from None

    def _product(self, made: Held, preflight: Preflight) -> Product:
        source = replace(
            preflight.source, dbname="", lsn_at_start=made.lsn_start, lsn_at_end=made.lsn_stop
        )
        with session(self._target, "backup") as opened:
            environment = environment_of(opened)
        version = self._repository.version()
        return Product(
            made=Made(version, preflight.server_major, (), self._repository.name),
            source=source,
            hashes={},
            environment=environment,
            wal_first=made.wal_first,
            external=made.label,
            external_bytes=made.size_bytes,
        )
