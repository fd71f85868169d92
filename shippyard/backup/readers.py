"""Owns asking a server who reads a whole database now, and so holds its locks and a snapshot.

A base backup copies files and is in nobody's way. Knows nothing of who wants to know.
"""

from pathlib import Path

from shippyard.postgres.locks import BACKUP_LOCK, MIGRATION_KEY, SHARED, holders_question
from shippyard.postgres.session import Row, session
from shippyard.postgres.target import Target

_READERS = (Path(__file__).parent / "readers.sql").read_text()


def reader_of(target: Target) -> str | None:
    """A dump of ours on any host, or of somebody else's, in words; None when there is none.

    Raises:
        Unreachable, QueryFailed: the server gave no answer.
    """
    with session(target, "readers") as opened:
        ours = [each for each in opened.query(holders_question(MIGRATION_KEY)) if _shares(each)]
        found = ours or opened.query(_READERS)
    if not found:
        return None
    name = str(found[0]["name"]).removeprefix(f"shippyard:{BACKUP_LOCK}:")
    return f"{name} (server process {found[0]['pid']})"


def _shares(holder: Row) -> bool:
    """Dumps share the lock; a migration has it alone, and is no reader."""
    return bool(holder["mode"] == SHARED)
