"""Owns who else could write what is about to be executed: permissions of files and folders.

Counted are every file, and every folder on the way to it: who may write a folder may put another
file in a name's place. Reads only.
"""

import errno
import grp
import os
import pwd
import stat
from collections.abc import Iterable
from functools import cache
from pathlib import Path

ACL = "system.posix_acl_access"


def exposed(files: Iterable[Path], scripts: Path) -> str | None:
    """What to type, and why, where somebody but root and us could write; None where nobody could.

    A sticky folder above `scripts`, such as /tmp, lets nobody replace what others put there; in
    `scripts` and below even a new file would be executed.
    """
    for path in _all_of(files):
        found = _exposure(path, may_be_sticky=not path.is_relative_to(scripts))
        if found:
            return found
    return None


def _all_of(files: Iterable[Path]) -> list[Path]:
    """The files where they really lie, and where they are named, with the folders above."""
    named = [place for file in files for place in (file.absolute(), file.resolve())]
    return sorted({*named, *(folder for place in named for folder in place.parents)})


def _exposure(path: Path, *, may_be_sticky: bool) -> str | None:
    try:
        found = path.stat()
    except OSError as error:
        return f"{path}: {error.strerror}: who may write it is not known"
    if found.st_uid not in (0, os.geteuid()):
        return f"{path} belongs to {_name_of(found.st_uid)}: chown {_name_of(os.geteuid())} {path}"
    if may_be_sticky and stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX:
        return None
    if found.st_mode & stat.S_IWOTH:
        return f"{path} may be written by everybody: chmod o-w {path}"
    if found.st_mode & stat.S_IWGRP and (_has_acl(path) or not _is_ours_alone(found.st_gid)):
        return f"{path} may be written by its group: chmod g-w {path}"
    return None


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


@cache
def _is_ours_alone(gid: int) -> bool:
    """Our user's own group, of his name, that nobody else is in."""
    try:
        us, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(gid)
    except KeyError:
        return False
    others = set(group.gr_mem) - {us.pw_name}
    others |= {each.pw_name for each in pwd.getpwall() if each.pw_gid == gid} - {us.pw_name}
    return group.gr_name == us.pw_name and us.pw_gid == gid and not others


def _has_acl(path: Path) -> bool:
    """Whether the group's bits are those of a list of users, too."""
    try:
        return bool(os.getxattr(path, ACL))
    except OSError as error:
        return error.errno not in (errno.ENODATA, errno.ENOTSUP)
