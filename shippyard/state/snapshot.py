"""Owns copying the state database while it is in use, and proving the copy.

SQLite's online backup reads one consistent state and blocks nobody for long. Where copies go, and
how many are kept, is for the caller.
"""

import contextlib
import sqlite3
from pathlib import Path

from shippyard.host.files import fsync_path, publish

FILE_MODE = 0o600
PAGES_AT_ONCE = 1024
BUSY_TIMEOUT_S = 5.0


class SnapshotFailed(Exception):
    """There is no good copy; one line."""


def copy_state(source: Path, final: Path) -> None:
    """A copy of the database `source` as the file `final`, opened once and found whole.

    Raises:
        SnapshotFailed: it could not be made, or does not hold together; there is no `final` then.
    """
    partial = final.with_name(f".{final.name}.partial")
    try:
        partial.unlink(missing_ok=True)
        partial.touch(FILE_MODE, exist_ok=False)
        _copy(source, partial)
        if problem := problem_of(partial):
            raise SnapshotFailed(f"the copy of {source} is damaged: {problem}")
        fsync_path(partial)
        publish(partial, final)
    except (sqlite3.Error, OSError) as error:
        raise SnapshotFailed(f"{source} can't be copied: {error}") from None
    finally:
        partial.unlink(missing_ok=True)


def problem_of(file: Path) -> str | None:
    """What SQLite finds wrong with a database file; None when it is whole."""
    try:
        with contextlib.closing(_open(file, "mode=ro&immutable=1")) as database:
            found: str = database.execute("PRAGMA integrity_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        return str(error)
    return None if found == "ok" else " ".join(found.split())


def _copy(source: Path, partial: Path) -> None:
    with (
        contextlib.closing(_open(source, "mode=rw")) as ours,
        contextlib.closing(_open(partial, "mode=rw")) as theirs,
    ):
        ours.backup(theirs, pages=PAGES_AT_ONCE)
        # One file, not three: without this the copy would want its own log beside it.
        theirs.execute("PRAGMA journal_mode=DELETE")


def _open(file: Path, how: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.resolve().as_uri()}?{how}", uri=True, timeout=BUSY_TIMEOUT_S)
