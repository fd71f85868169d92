"""Owns whether a folder is closed in itself: nothing in it leads out, or is shared with outside.

A restored cluster names places of production in three ways: links, the map that PostgreSQL makes
links of, and files that a copy only hard-linked. Reads; changes nothing.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

TABLESPACE_LINKS = "pg_tblspc"
TABLESPACE_MAP = "tablespace_map"
SHOWN = 3


def ways_out(folder: Path, data_dir: Path) -> list[str]:
    """What of `folder` leads out of it, a line each, the first few; empty when it is closed.

    Raises:
        OSError: it can't be read.
    """
    found: list[str] = []
    for way in (*mapped_out(folder, data_dir), *_walked(folder, folder.resolve())):
        found.append(way)
        if len(found) == SHOWN:
            break
    return found


def mapped_out(folder: Path, data_dir: Path) -> Iterator[str]:
    """Tablespaces that PostgreSQL would link, or has linked, to outside of `folder`."""
    root = folder.resolve()
    for oid, place in _map_of(data_dir / TABLESPACE_MAP):
        if not _is_inside(Path(place), root):
            yield f"tablespace {oid} is mapped to {place}"
    links = data_dir / TABLESPACE_LINKS
    for link in links.iterdir() if links.is_dir() else ():
        if link.is_symlink() and not _is_inside(link, root):
            yield f"tablespace {link.name} leads to {link.readlink()}"


def _walked(folder: Path, root: Path) -> Iterator[str]:
    ahead = [folder]
    while ahead:
        with os.scandir(ahead.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    ahead.append(Path(entry.path))
                elif why := _way_out(entry, root):
                    yield why


def _way_out(entry: os.DirEntry[str], root: Path) -> str | None:
    if entry.is_symlink():
        inside = _is_inside(Path(entry.path), root)
        return None if inside else f"{entry.path} leads to {Path(entry.path).readlink()}"
    status = entry.stat(follow_symlinks=False)
    if stat.S_ISSOCK(status.st_mode):
        return None
    if not stat.S_ISREG(status.st_mode):
        return f"{entry.path} is no file, folder or link"
    return f"{entry.path} is shared with another name" if status.st_nlink > 1 else None


def _is_inside(path: Path, root: Path) -> bool:
    return path.resolve().is_relative_to(root)


def _map_of(file: Path) -> Iterator[tuple[str, str]]:
    """Lines of `oid place`; a newline in a place is written with a backslash."""
    if file.is_file():
        for line in file.read_text(errors="surrogateescape").splitlines():
            oid, _, place = line.partition(" ")
            yield oid, place.replace("\\\\", "\\")
