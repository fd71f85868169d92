"""Owns sessions that may change a server: a restore makes databases, roles and settings by them.

They are as bounded in time as any other session; they only are not read-only. What is said to the
server comes from files of ours, or is quoted here.
"""

import contextlib
from collections.abc import Iterator

from shippyard.postgres.session import Session, open_session
from shippyard.postgres.target import Target

_SETTINGS = {"default_transaction_read_only": "off", "lock_timeout": "5s"}


@contextlib.contextmanager
def writing_session(
    target: Target, purpose: str, *, connect_timeout_s: float = 5.0
) -> Iterator[Session]:
    """An autocommit session that may write, for the length of a block.

    Raises:
        Unreachable: no connection could be made.
    """
    opened = open_session(target, purpose, connect_timeout_s=connect_timeout_s, settings=_SETTINGS)
    try:
        yield opened
    finally:
        opened.close()


def quoted_name(name: str) -> str:
    """An identifier as SQL."""
    return '"' + name.replace('"', '""') + '"'


def quoted_text(text: str) -> str:
    """A string as SQL, whatever the server thinks of backslashes."""
    escaped = text.replace("'", "''").replace("\\", "\\\\")
    return f"E'{escaped}'" if "\\" in text else f"'{escaped}'"
