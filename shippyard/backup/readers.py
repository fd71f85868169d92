"""Owns asking a server who reads a whole database now, and so holds its locks and a snapshot.

A base backup copies files and is in nobody's way. Knows nothing of who wants to know.
"""

from pathlib import Path

from shippyard.postgres.locks import BACKUP_LOCK, MIGRATION_KEY, SHARED, holders_question
from shippyard.postgres.session import session
from shippyard.postgres.target import Target

_READERS = (Path(__file__).parent / "readers.sql").read_text()


def reader_of(target: Target) -> str | None:
    """A dump of ours on any host, or of somebody else's, in words; None when there is none.

    Raises:
        Unreachable, QueryFailed: the server gave no answer.
    """
    with session(target, "clearing") as opened:
        for row in opened.query(holders_question(MIGRATION_KEY)):
            if row["mode"] == SHARED:
                name = str(row["name"]).removeprefix(f"shippyard:{BACKUP_LOCK}:")
                return f"backup {name} (server process {row['pid']})"
        for row in opened.query(_READERS):
            return f"{row['name']} (server process {row['pid']})"
    return None
