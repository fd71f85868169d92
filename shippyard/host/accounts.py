"""Owns who we run as: the unprivileged account PostgreSQL is started under when we are root."""

import os
import pwd

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
