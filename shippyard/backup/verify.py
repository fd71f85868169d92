"""Owns the proof that an artifact is whole: sizes and hashes read again, and all of it decoded.

A table of contents is never proof: `pg_restore --list` accepts half a file, and a decode alone
accepts some flipped bits. How an artifact is decoded is the engine's business.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from shippyard.backup.engines.engine import Engine
from shippyard.backup.manifest import FILE_NAME, FileEntry, Manifest
from shippyard.host.files import sha256_of


def measure(folder: Path, name: str) -> FileEntry:
    """Size and hash of one file of an artifact, read from the start."""
    file = folder / name
    return FileEntry(name, file.stat().st_size, sha256_of(file))


def measured(folder: Path) -> tuple[FileEntry, ...]:
    """Every file of an artifact, by its path inside the folder, read from disk."""
    names = (str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file())
    return tuple(measure(folder, name) for name in names if name != FILE_NAME)


def unlike(written: Mapping[str, FileEntry], read: Iterable[FileEntry]) -> list[str]:
    """What differs between hashes taken while files were written and those read back."""
    found = {entry.name: entry for entry in read}
    return [
        f"{name}: what was read back is not what was written"
        for name, entry in written.items()
        if found.get(name) != entry
    ]


def absent_files(folder: Path, manifest: Manifest) -> list[str]:
    """What is visibly wrong without reading the files: gone, or of another size."""
    problems = (_absence(folder / entry.name, entry) for entry in manifest.files)
    return [problem for problem in problems if problem]


def content_problems(folder: Path, manifest: Manifest, engine: Engine) -> list[str]:
    """What is wrong after every byte was read and decoded; empty when all is well.

    Raises:
        EngineFailed: it could not be decoded, which says nothing of the artifact.
    """
    differing = [
        f"{entry.name}: sha256 differs from the manifest's"
        for entry in manifest.files
        if measure(folder, entry.name).sha256 != entry.sha256
    ]
    return [*differing, *engine.verify(folder, manifest.files)[1]]


def _absence(file: Path, entry: FileEntry) -> str | None:
    try:
        size_bytes = file.stat().st_size
    except OSError as error:
        return f"{file}: {error.strerror}"
    if size_bytes != entry.size_bytes:
        return f"{file}: {size_bytes} bytes, the manifest says {entry.size_bytes}"
    return None
