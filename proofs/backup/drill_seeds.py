"""Owns faults put into backups, manifests and WAL by hand.

Manifests are signed anew where a careless tool would have signed them, too. Each fault is a block:
what it gives are parts of the drills that are other than usual, and WAL is whole again after it.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from proofs.backup.drillyard import Yard
from shippyard.backup.manifest import Extension, Manifest
from shippyard.backup.model import Backup
from shippyard.backup.wal.names import is_segment
from shippyard.host.clock import SystemClock
from shippyard.host.files import sha256_of

SEGMENT_BYTES = 16 << 20
FIRST_RECORD = 61
"""In a segment, below its header: what follows the last record is never read."""


def _biggest(folder: Path) -> Path:
    return max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


def _flip_in(path: Path, at: int | None = None) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if at is None else at] ^= 0x10
    path.write_bytes(data)


@contextlib.contextmanager
def flipped(y: Yard, backup: Backup) -> Iterator[dict[str, Any]]:
    """One bit of its largest file differs."""
    _flip_in(_biggest(y.files(backup)))
    yield {}


@contextlib.contextmanager
def cut(y: Yard, backup: Backup) -> Iterator[dict[str, Any]]:
    """Its largest file is half as long."""
    path = _biggest(y.files(backup))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    yield {}


@contextlib.contextmanager
def gone(y: Yard, backup: Backup) -> Iterator[dict[str, Any]]:
    """Its largest file is not there."""
    _biggest(y.files(backup)).unlink()
    yield {}


@contextlib.contextmanager
def forged(y: Yard, backup: Backup) -> Iterator[dict[str, Any]]:
    """Its manifest was changed and not signed anew."""
    path = y.files(backup) / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"tool_version"', b'"tool_versiom"', 1))
    yield {}


def resigned(
    change: Callable[[Manifest], Manifest],
) -> Callable[[Yard, Backup], AbstractContextManager[dict[str, Any]]]:
    """The manifest says something else, and is signed by us."""

    @contextlib.contextmanager
    def seed(y: Yard, backup: Backup) -> Iterator[dict[str, Any]]:
        _resign(y, backup, change)
        yield {}

    return seed


def _resign(y: Yard, backup: Backup, change: Callable[[Manifest], Manifest]) -> None:
    seal = y.seal
    folder = y.files(backup)
    seal.write(folder, change(seal.read(folder)))


@contextlib.contextmanager
def another_row(y: Yard, backup: Backup) -> Iterator[dict[str, Any]]:
    """The artifact is of a database that differs in one row; everything else fits."""
    y.run("UPDATE goods SET name = 'changed' WHERE id = 4711")
    other = y.back_up("dump")
    y.run("UPDATE goods SET name = md5(id::text) WHERE id = 4711")
    was = y.seal.read(y.files(backup))
    _resign(
        y,
        other,
        lambda manifest: dataclasses.replace(manifest, content=was.content),
    )
    yield {}


@contextlib.contextmanager
def role_not_in_globals(y: Yard, backup: Backup) -> Iterator[dict[str, Any]]:
    """The backup's own roles lack one that owns nothing and may do something."""
    path = next(p for p in y.files(backup).iterdir() if p.name.startswith("globals"))
    kept = [line for line in path.read_text().splitlines(keepends=True) if "seller" not in line]
    path.write_text("".join(kept))

    def change(manifest: Manifest) -> Manifest:
        files = tuple(
            dataclasses.replace(f, size_bytes=path.stat().st_size, sha256=sha256_of(path))
            if f.name == path.name
            else f
            for f in manifest.files
        )
        return dataclasses.replace(manifest, files=files)

    _resign(y, backup, change)
    yield {}


def one_more_extension(manifest: Manifest) -> Manifest:
    """As if production had one that no restore brings."""
    around = manifest.environment
    assert around is not None
    more = (*around.extensions, Extension("hstore", "1.8"))
    return dataclasses.replace(manifest, environment=dataclasses.replace(around, extensions=more))


def other_revision(manifest: Manifest) -> Manifest:
    """As if the schema had gone on."""
    source = dataclasses.replace(manifest.source, alembic_revision="0008")
    return dataclasses.replace(manifest, source=source)


class Later(SystemClock):
    """Three days on: nothing came since."""

    def now(self) -> datetime:
        """The machine's time, and three days."""
        return super().now() + timedelta(days=3)


@contextlib.contextmanager
def days_later(y: Yard, backup: Backup) -> Iterator[dict[str, Any]]:  # noqa: ARG001  as the others
    """The backup is too old."""
    yield {"clock": Later()}


@contextlib.contextmanager
def hole(y: Yard, backup: Backup) -> Iterator[dict[str, Any]]:
    """A segment that the backup needs, and that has later ones, is gone."""
    victim = _first_after(y, backup)
    kept = victim.read_bytes()
    victim.unlink()
    yield {}
    victim.write_bytes(kept)


@contextlib.contextmanager
def flipped_wal(y: Yard, backup: Backup) -> Iterator[dict[str, Any]]:
    """One bit of a segment that it needs differs."""
    victim = _first_after(y, backup)
    kept = victim.read_bytes()
    _flip_in(victim, FIRST_RECORD)
    yield {}
    victim.write_bytes(kept)


def _first_after(y: Yard, backup: Backup) -> Path:
    """The file of the first segment that did not come with the backup."""
    manifest = y.seal.read(y.files(backup))
    high, low = (int(part, 16) for part in str(manifest.source.lsn_at_end).split("/"))
    first = -(-(high << 32 | low) // SEGMENT_BYTES)
    wanted = f"{manifest.source.timeline:08X}{first // 256:08X}{first % 256:08X}"
    later = sorted(n for n in y.wal.segments() if is_segment(n) and n >= wanted)
    stored = y.wal.path(later[0])
    return stored if stored.is_file() else y.wal.receiving / later[0]


@contextlib.contextmanager
def other_timeline(y: Yard, backup: Backup) -> Iterator[dict[str, Any]]:
    """Somebody promoted a copy, and its WAL came to our archive."""
    end = y.seal.read(y.files(backup)).source.lsn_at_end
    history = y.folder / "00000002.history"
    history.write_text(f"1\t{end}\tno recovery target specified\n")
    y.wal.put(history, y.clock.now())
    yield {}
    y.wal.remove([history.name])
