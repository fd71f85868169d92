"""Owns the checks of the folder with backups: that it is there, apart, large enough and closed."""

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from shippyard.backup.layout import Layout
from shippyard.setup.doctor.finding import Finding, Patient

SPACE_FACTOR = 1.3
CHECK = "backup dir"


def storage(patient: Patient) -> Iterator[Finding]:
    """Mount, space and mode."""
    layout = Layout(patient.config.backup.dir)
    root = layout.root
    there = next(path for path in (root, *root.parents) if path.exists())
    if there != root:
        yield _not_there(root, there)
    else:
        yield _writable(root)
    yield _apart(root, there, patient.config.daemon.state_dir)
    yield _space(layout, there)
    if there == root:
        yield from _open_to_others(layout)


def _not_there(root: Path, there: Path) -> Finding:
    """What is above the folder is not ours to own: the folder itself is made, and given to us."""
    made = f"install -d -m 0700 -o shippyard -g shippyard {root}"
    remedy = f"if a disk belongs there: mount it at {root}; then: {made}"
    if os.access(there, os.W_OK | os.X_OK):
        said = f"{root} is not there yet; the daemon makes it in {there}"
        return Finding(CHECK, "", "warn", said, remedy)
    said = f"{root} is not there yet, and {_me()} may not make it in {there}"
    return Finding(CHECK, "", "fail", said, remedy)


def _writable(root: Path) -> Finding:
    if os.access(root, os.W_OK | os.X_OK):
        return Finding(CHECK, "", "ok", f"{root} can be written by {_me()}")
    said = f"{root} can't be written by {_me()}"
    remedy = f"chown shippyard:shippyard {root}, if it is the daemon that this runs as"
    return Finding(CHECK, "", "fail", said, remedy)


def _apart(root: Path, there: Path, state_dir: Path) -> Finding:
    """A disk that backups fill must not be one that PostgreSQL or the daemon's state need."""
    if there.stat().st_dev not in {Path("/").stat().st_dev, _device_of(state_dir)}:
        return Finding(CHECK, "", "ok", f"{root} is on a disk of its own")
    return Finding(
        CHECK,
        "",
        "warn",
        f"{root} shares its disk with the system or the daemon's state; "
        "backups that fill it stop more than backups",
        f"mount a disk of its own at {root}",
    )


def _space(layout: Layout, there: Path) -> Finding:
    free = shutil.disk_usage(there).free
    needed = int(SPACE_FACTOR * sum(_newest_bytes(layout)))
    said = f"{_gb(free)} free, the next round of backups needs about {_gb(needed)}"
    if free <= needed:
        return Finding(
            CHECK, "", "fail", said, "make room, or keep fewer: shippyard ctl backup prune"
        )
    return Finding(CHECK, "", "ok", said)


def _newest_bytes(layout: Layout) -> Iterator[int]:
    """Size of the newest backup of each kind of each subject."""
    for subject in layout.databases():
        newest = {name.split("-")[1]: name for name in layout.published(subject)}
        for name in newest.values():
            files = layout.folder(subject, name).rglob("*")
            yield sum(file.stat().st_size for file in files if file.is_file())


def _open_to_others(layout: Layout) -> Iterator[Finding]:
    folders = [layout.root / subject for subject in layout.databases()]
    opened = [folder for folder in folders if stat.S_IMODE(folder.stat().st_mode) & 0o077]
    for folder in opened:
        said = f"{folder} may be read by others: it holds all data"
        yield Finding(CHECK, "", "fail", said, f"chmod 0700 {folder}")
    if folders and not opened:
        yield Finding(CHECK, "", "ok", "closed to everyone else")


def _device_of(path: Path) -> int:
    return next(p for p in (path, *path.parents) if p.exists()).stat().st_dev


def _me() -> str:
    return f"uid {os.geteuid()}"


def _gb(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.1f} GB"
