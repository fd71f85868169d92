"""Owns the files of an Alembic tree: read once into memory, copied to a folder named by content.

What was hashed is what runs: the copy is what Alembic gets, never the tree, which may change in
between. Knows nothing of revisions' order or of databases; executes nothing.
"""

import configparser
import hashlib
import json
import os
import re
import shutil
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from shippyard.host.files import fsync_tree, publish, sha256_of
from shippyard.migration.exposure import exposed

FILES_MAX = 10_000
TREE_MAX_BYTES = 64 * 1024 * 1024
COPIES_KEPT = 20

_publishing = threading.Lock()


class TreeUnusable(Exception):
    """The tree can't be read; one line that says what to do."""


@dataclass(frozen=True)
class Tree:
    """An Alembic tree as it was when it was read.

    `files` maps paths relative to a common folder to content; `ini` and `scripts` are such paths.
    `exposed` says what somebody else could write, in one line.
    """

    ini: str
    scripts: str
    files: Mapping[str, bytes]
    exposed: str | None = None

    def version_files(self) -> list[str]:
        """Paths of revision files, sorted."""
        return [path for path in sorted(self.files) if self._is_version(path)]

    def without_versions_but(self, kept: Iterable[str]) -> "Tree":
        """The same tree with these revision files only: what comes later must not be executed."""
        keep = set(kept)
        files = {
            path: content
            for path, content in self.files.items()
            if path in keep or not self._is_version(path)
        }
        return replace(self, files=files)

    def hashes(self) -> dict[str, str]:
        """SHA-256 of every file, by path."""
        return {path: hashlib.sha256(data).hexdigest() for path, data in sorted(self.files.items())}

    def _is_version(self, path: str) -> bool:
        pure = PurePosixPath(path)
        return (
            pure.suffix == ".py"
            and pure.name != "__init__.py"
            and pure.is_relative_to(PurePosixPath(self.scripts) / "versions")
        )


def read_tree(ini: Path) -> Tree:
    """The tree that `ini` (an alembic.ini) describes.

    Taken are the ini, every Python file under the script location, and all under `versions`.

    Raises:
        TreeUnusable: no such file, no script location, or too much in it.
    """
    ini = ini.resolve()
    scripts = _script_location(ini)
    root = Path(os.path.commonpath([ini.parent, scripts]))
    found = [ini, *(path for path in sorted(scripts.rglob("*")) if _takes_part(path, scripts))]
    if len(found) > FILES_MAX:
        raise TreeUnusable(f"{scripts} has more than {FILES_MAX} files; is it the right folder?")
    # before they are read: what is read after was written by somebody who may
    open_to = exposed(found, scripts)
    try:
        files = {path.relative_to(root).as_posix(): path.read_bytes() for path in found}
    except OSError as error:
        raise TreeUnusable(f"{error.filename}: {error.strerror}") from None
    if sum(map(len, files.values())) > TREE_MAX_BYTES:
        raise TreeUnusable(f"{scripts} holds more than {TREE_MAX_BYTES} bytes; is it the tree?")
    where = (ini.relative_to(root).as_posix(), scripts.relative_to(root).as_posix())
    return Tree(*where, files, open_to)


def copy_name(tree: Tree) -> str:
    """The name of the folder that holds this tree's files, and no others."""
    return hashlib.sha256(json.dumps(tree.hashes(), sort_keys=True).encode()).hexdigest()[:32]


def publish_copy(tree: Tree, folder: Path, in_use: Callable[[], Collection[str]]) -> Path:
    """A folder under `folder` that holds exactly the tree's files; made when it is not there yet.

    `in_use` gives the names of copies that runs under way execute: those are never removed.

    Raises:
        TreeUnusable: the copy is in use and somebody changed it.
        OSError: it can't be written.
    """
    hashes = tree.hashes()
    copy = folder / copy_name(tree)
    with _publishing:
        if copy.exists() and differences(copy, hashes):
            if copy.name in in_use():
                raise TreeUnusable(f"{copy} was changed while a run uses it; plan again after it")
            shutil.rmtree(copy)  # somebody changed it: its name no longer says what is inside
        if not copy.exists():
            _write_copy(tree, copy)
        os.utime(copy)
        _forget_old_copies(folder, {copy.name, *in_use()})
    return copy


def differences(copy: Path, hashes: Mapping[str, str]) -> list[str]:
    """Paths that are missing from a copy, that changed, or that should not be there."""
    present = {p.relative_to(copy).as_posix(): p for p in copy.rglob("*") if not p.is_dir()}
    changed = [path for path in present.keys() & hashes if sha256_of(present[path]) != hashes[path]]
    return sorted({*changed, *(present.keys() ^ hashes.keys())})


def _write_copy(tree: Tree, copy: Path) -> None:
    partial = copy.with_name(f".{copy.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # left by a crash
    partial.mkdir(parents=True, mode=0o700)
    for path, content in tree.files.items():
        (partial / path).parent.mkdir(parents=True, exist_ok=True)
        (partial / path).write_bytes(content)
    fsync_tree(partial)
    publish(partial, copy)


def _forget_old_copies(folder: Path, kept: Collection[str]) -> None:
    copies = [path for path in folder.iterdir() if not path.name.startswith(".")]
    copies.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for old in copies[COPIES_KEPT:]:
        if old.name not in kept:
            shutil.rmtree(old, ignore_errors=True)


def _script_location(ini: Path) -> Path:
    parser = configparser.ConfigParser({"here": str(ini.parent)})
    try:
        if not parser.read(ini):
            raise TreeUnusable(f"no alembic.ini at {ini}; set migration.alembic_ini")
        location = parser.get("alembic", "script_location")
        elsewhere = parser.get("alembic", "version_locations", fallback="").strip()
    except (configparser.Error, UnicodeDecodeError) as error:
        reason = re.sub(r"\s+", " ", str(error))
        raise TreeUnusable(f"{ini}: {reason}; it needs [alembic] script_location") from None
    if elsewhere:
        raise TreeUnusable(f"{ini}: version_locations is not followed; keep revisions in versions/")
    scripts = (ini.parent / location).resolve()
    if not (scripts / "env.py").is_file():
        raise TreeUnusable(f"no env.py in {scripts}; set script_location = %(here)s in {ini}")
    return scripts


def _takes_part(path: Path, scripts: Path) -> bool:
    if path.is_dir() or "__pycache__" in path.parts:
        return False
    return path.suffix == ".py" or path.is_relative_to(scripts / "versions")
