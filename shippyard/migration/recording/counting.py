"""Owns the server's own counts while a recording goes on: rows of statements, WAL, disk.

Disk is looked at from time to time by a thread of its own, because a rewrite has both files only
until it commits.
"""

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator

from shippyard.postgres.session import QueryFailed, Session, session
from shippyard.postgres.target import Target
from shippyard.postgres.writing import quoted_name

LOOK_EVERY_S = 0.25
SIZE_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 35.0

_ROWS_SQL = """
SELECT queryid AS id, sum(rows)::bigint AS rows FROM {schema}.pg_stat_statements(false)
WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND queryid <> 0
GROUP BY queryid
"""
_WAL_SQL = """
SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint AS bytes,
    current_setting('wal_level') = 'minimal' AS minimal
"""
_SIZE_SQL = """
SELECT pg_database_size(current_database())
    + coalesce((SELECT sum(size) FROM pg_ls_tmpdir()), 0)::bigint AS bytes
"""


class Rows:
    """Rows by statement and revision; all unknown, and so none, where the server doesn't count."""

    def __init__(self, asking: Session, schema: str | None) -> None:
        self._asking = asking
        self._sql = _ROWS_SQL.format(schema=quoted_name(schema)) if schema else None
        self._before = self._counted()
        self._found: Counter[tuple[int, str | None]] = Counter()

    def close(self, revision: str | None) -> None:
        """What was counted since the last time belongs to `revision`."""
        now = self._counted()
        for query_id, rows in now.items():
            self._found[query_id, revision] += rows - self._before.get(query_id, 0)
        self._before = now

    def of(self, query_id: int | None, revision: str | None) -> int:
        """Rows that all executions of a statement touched or gave in one revision."""
        return self._found[query_id, revision] if query_id is not None else 0

    def _counted(self) -> dict[int, int]:
        if self._sql is None:
            return {}
        return {row["id"]: row["rows"] for row in self._asking.query(self._sql)}


def wal(asking: Session) -> tuple[int, bool]:
    """How much WAL was ever written in bytes, and whether rewrites are left out of it."""
    row = asking.query(_WAL_SQL)[0]
    return row["bytes"], row["minimal"]


class Disk:
    """The most that a database takes on disk, its temporary files included."""

    def __init__(self, asking: Session) -> None:
        self._asking = asking
        self._stopping = threading.Event()
        self.first_bytes = self.most_bytes = self._size()
        self._thread = threading.Thread(target=self._look, name="recording-disk", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look a last time and end; safe twice, and when the server is gone."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(STOP_TIMEOUT_S)

    def _look(self) -> None:
        with contextlib.suppress(QueryFailed):  # who asks for the result finds the server lost
            while not self._stopping.wait(LOOK_EVERY_S):
                self.most_bytes = max(self.most_bytes, self._size())
            self.most_bytes = max(self.most_bytes, self._size())

    def _size(self) -> int:
        return int(self._asking.query(_SIZE_SQL, timeout_s=SIZE_TIMEOUT_S)[0]["bytes"])


@contextlib.contextmanager
def disk_watched(target: Target) -> Iterator[Disk]:
    """Disk looked at for the length of a block."""
    with session(target, "recording-disk") as asking:
        disk = Disk(asking)
        disk.start()
        try:
            yield disk
        finally:
            disk.stop()
