"""Owns the proof that an artifact is whole: sizes and hashes read again, and all of it decoded.

A table of contents is never proof: `pg_restore --list` accepts half a file, and a decode alone
accepts some flipped bits. How an artifact is decoded is the engine's business.
"""

from collections.abc import Callable
from pathlib import Path

from shippyard.backup.manifest import FileEntry, Manifest
from shippyard.host.files import sha256_of

Decode = Callable[[Path], str | None]
"""Decodes one file to its end; gives what is wrong with it, or None."""


def measure(file: Path) -> FileEntry:
    """Size and hash of a file, read from the start."""
    return FileEntry(file.name, file.stat().st_size, sha256_of(file))


def absent_files(folder: Path, manifest: Manifest) -> list[str]:
    """What is visibly wrong without reading the files: gone, or of another size."""
    problems = (_absence(folder / entry.name, entry) for entry in manifest.files)
    return [problem for problem in problems if problem]


def content_problems(folder: Path, manifest: Manifest, decode: Decode) -> list[str]:
    """What is wrong after every byte was read and decoded; empty when all is well."""
    problems = []
    for entry in manifest.files:
        if measure(folder / entry.name).sha256 != entry.sha256:
            problems.append(f"{entry.name}: sha256 differs from the manifest's")
        if undecodable := decode(folder / entry.name):
            problems.append(f"{entry.name}: {undecodable}")
    return problems


def _absence(file: Path, entry: FileEntry) -> str | None:
    try:
        size_bytes = file.stat().st_size
    except OSError as error:
        return f"{file}: {error.strerror}"
    if size_bytes != entry.size_bytes:
        return f"{file}: {size_bytes} bytes, the manifest says {entry.size_bytes}"
    return None
