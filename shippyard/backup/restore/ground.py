"""Owns whether a data folder can be made and entered where it is wanted, before anything is done.

Says what is there now, and what to do instead. Makes nothing.
"""

import getpass
import os
import pwd
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shippyard.backup.restore.physical import content_of
from shippyard.host.accounts import account_for_postgres, closed_to

MOUNTS = Path("/proc/self/mountinfo")
PRIVATE = "/systemd-private-"
"""What a unit sees as /tmp with PrivateTmp= is a folder of such a name."""


@dataclass(frozen=True)
class Wished:
    """Where files are to go. `tablespaces` is the folder that theirs are made in.

    `command` is what a person with more rights would type, without the data folder. `heir` is who
    is to start the server, when that is neither us nor the account that root drops to.
    """

    data_dir: Path
    tablespaces: Path
    command: Sequence[str]
    heir: str | None = None


def unfit(wished: Wished) -> str | None:
    """Why no data folder can be made there; None when one can.

    What recovery needs lies beside the data folder, so its parent must be fit, too.
    """
    folders = (wished.data_dir, wished.data_dir.parent, wished.tablespaces)
    grounds = tuple(dict.fromkeys(map(_ground, folders)))
    if no_folder := next((each for each in grounds if not each.is_dir()), None):
        return f"{no_folder} is no folder; name another one with --data-dir"
    by_root = shlex.join(("sudo", *wished.command, "--data-dir", str(wished.data_dir)))
    if shut := next((each for each in grounds if not os.access(each, os.W_OK | os.X_OK)), None):
        return f"{getpass.getuser()} can't write to {shut}; with rights there run: {by_root}"
    mounts = MOUNTS.read_text() if MOUNTS.exists() else ""
    if hidden := next((each for each in grounds if is_private(each.resolve(), mounts)), None):
        return f"{hidden} is seen by the daemon alone; for all to see it run: {by_root}"
    return _closed(wished)


def is_private(folder: Path, mounts: str) -> bool:
    """Whether other programs see another folder there, by the text of `mountinfo`."""
    lines = (line.split() for line in mounts.splitlines())
    over = [(point, root) for _, _, _, root, point, *_ in lines if folder.is_relative_to(point)]
    nearest = max(over, key=lambda mount: len(mount[0]), default=("", ""))
    return PRIVATE in nearest[1]


def state_of(data_dir: Path) -> str:
    """What a person finds there now."""
    try:
        there = content_of(data_dir)
    except PermissionError:
        return f"{getpass.getuser()} may not look into it"
    if there:
        return there
    return "an empty folder" if data_dir.is_dir() else "it is not there; it will be made"


def free_bytes(data_dir: Path) -> int:
    """Free space where it would be."""
    return shutil.disk_usage(_ground(data_dir)).free


def _closed(wished: Wished) -> str | None:
    grounds = [_ground(each.parent) for each in (wished.data_dir, wished.tablespaces)]
    account = account_for_postgres() or _other(wished.heir)
    shut = [each for ground in grounds if account and (each := closed_to(ground, account))]
    if not shut:
        return None
    said = f"user {account}, who runs the server, can't enter {shut[0]}"
    if os.geteuid() == 0:
        return f"{said}; run: chmod o+x {shlex.quote(str(shut[0]))}"
    command = shlex.join(("sudo", *wished.command, "--data-dir", "FOLDER"))
    return f"{said}; restore to another folder, by: {command}"


def _other(heir: str | None) -> str | None:
    """The account, when there is one and it is not ours."""
    known = {each.pw_name for each in pwd.getpwall()}
    return heir if heir in known and heir != getpass.getuser() else None


def _ground(folder: Path) -> Path:
    """The folder, or the nearest one above it that we see."""
    return next(each for each in (folder, *folder.parents) if _is_there(each))


def _is_there(folder: Path) -> bool:
    try:
        return folder.exists()
    except PermissionError:
        return False
