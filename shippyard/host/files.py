"""Owns making files durable: write, fsync, rename, fsync the folder.

A name that exists after `publish` or `write_atomically` holds the whole content, also after a
power cut. Knows nothing of what the files mean.
"""

import hashlib
import os
from pathlib import Path

CHUNK_BYTES = 1024 * 1024


def fsync_path(path: Path) -> None:
    """Flush a file or a folder to disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_atomically(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace `path` by `data` so that a reader sees the old content or the new, never a part."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    publish(partial, path)


def publish(partial: Path, final: Path) -> None:
    """Give a finished, already fsynced file or folder its name, durably."""
    partial.rename(final)
    fsync_path(final.parent)


def fsync_tree(folder: Path) -> None:
    """Flush every file of a folder, then the folder."""
    for path in sorted(folder.rglob("*")):
        fsync_path(path)
    fsync_path(folder)


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file, read again from the start."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
