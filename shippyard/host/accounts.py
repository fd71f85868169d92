"""Owns who we run as, and what an account may enter.

Running as root, PostgreSQL is started under an unprivileged account.
"""

import os
import pwd
from pathlib import Path

CANDIDATES = ("postgres", "nobody")


class NoUnprivilegedAccount(Exception):
    """Running as root and no account exists to drop to."""


def account_for_postgres() -> str | None:
    """The account to drop to when running as root; None when we are not root.

    PostgreSQL refuses to run as root (initdb(1), postgres(1)).

    Raises:
        NoUnprivilegedAccount: neither `postgres` nor `nobody` exists.
    """
    if os.geteuid() != 0:
        return None
    for name in CANDIDATES:
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise NoUnprivilegedAccount(
        "PostgreSQL refuses to run as root and there is no 'postgres' or 'nobody' account; "
        "run this as an ordinary user"
    )


def closed_to(folder: Path, account: str) -> Path | None:
    """The first of a folder and its parents, from the root on, that an account may not enter."""
    known = pwd.getpwnam(account)
    for each in (*reversed(folder.resolve().parents), folder.resolve()):
        status = each.stat()
        bit = 0o001
        if status.st_uid == known.pw_uid:
            bit = 0o100
        elif status.st_gid == known.pw_gid:
            bit = 0o010
        if not status.st_mode & bit:
            return each
    return None
