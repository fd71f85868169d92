"""Owns advisory locks: what keeps a backup and a migration of one database, or two daemons, apart.

They live as long as the session that took them, so the holder must look whether its session does.
An advisory lock is of one database; who takes which key is said here, once, for all rooms.
"""

import contextlib
import hashlib
from collections.abc import Iterator

from shippyard.postgres.session import QueryFailed, Session, open_session
from shippyard.postgres.target import Target

MIGRATION_KEY = 0x5348_4950_5941_5244  # "SHIPYARD"
"""Taken by a migration's runner alone, and shared by dumps: never both at once."""

BACKUP_LOCK = "backup-lock"
"""What a backup's lock session calls itself, before the backup's id."""

SHARED = "ShareLock"
TRIES = 20

_IDLE_TIMEOUT_SINCE = 140_000
_LOST_CLIENT = {
    # The server ends the session of a host that is gone, and so its locks, in half a minute.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}


class LockTaken(Exception):
    """Somebody else holds it; the message says who."""


class LockLost(Exception):
    """The session that held our locks is gone, and they with it."""


def backup_key(subject: str, kind: str) -> int:
    """The key of a backup's subject and kind: the same on every host, as bigint."""
    name = f"shippyard backup {subject} {kind}".encode()
    return int.from_bytes(hashlib.sha256(name).digest()[:8], signed=True)


def backfill_key(name: str) -> int:
    """The key of a backfill's one worker, as bigint."""
    digest = hashlib.sha256(f"shippyard backfill {name}".encode()).digest()
    return int.from_bytes(digest[:8], signed=True)


def holders_question(key: int) -> str:
    """SQL for who holds `key` in this database: mode and who (application name, pid)."""
    high, low = (key >> 32) & 0xFFFF_FFFF, key & 0xFFFF_FFFF
    return (
        "SELECT l.mode, coalesce(nullif(a.application_name, ''), 'a session') AS name, l.pid"
        " FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a USING (pid)"
        " WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1"
        f" AND l.classid = {high}::oid AND l.objid = {low}::oid AND l.database ="
        " (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())"
        " ORDER BY l.pid LIMIT 1"
    )


class Locks:
    """The locks of one session. Used by one thread at a time."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def take(self, key: int) -> None:
        """Hold `key` alone; does not wait.

        Raises:
            LockTaken: somebody holds it.
            QueryFailed: the server gave no answer.
        """
        self._try("pg_try_advisory_lock", key)

    def take_shared(self, key: int) -> None:
        """Hold `key` together with others who share it; does not wait.

        Raises:
            LockTaken, QueryFailed: as `take`.
        """
        self._try("pg_try_advisory_lock_shared", key)

    def check(self) -> None:
        """See that the session lives, without asking the server.

        Raises:
            LockLost: it ended.
        """
        if self._session.is_lost():
            raise LockLost(
                "the session that held the backup's lock has ended, so another could have begun; "
                "was the server restarted? Run the backup again"
            )

    def prove(self) -> None:
        """See that the server still answers on the session.

        Raises:
            LockLost: it does not.
        """
        with contextlib.suppress(QueryFailed):
            self._session.query("SELECT 1")
        self.check()

    def _try(self, function: str, key: int) -> None:
        question = f"SELECT pg_catalog.{function}({key}) AS taken"
        for _ in range(TRIES):
            if self._session.query(question)[0]["taken"]:
                return
            # Nobody holds it now: whoever did has just let go.
            if holders := self._session.query(holders_question(key)):
                raise LockTaken(f"{holders[0]['name']}, server process {holders[0]['pid']}")
        raise LockTaken("others who take it in turn")


@contextlib.contextmanager
def locks(target: Target, purpose: str) -> Iterator[Locks]:
    """A session of its own for locks, for the length of a block; leaving lets all of them go.

    Raises:
        Unreachable: no connection could be made.
    """
    session = open_session(target, purpose, settings=_LOST_CLIENT)
    try:
        if session.server_version >= _IDLE_TIMEOUT_SINCE:
            # A role may be told to end idle sessions; this one idles on purpose.
            session.query("SELECT set_config('idle_session_timeout', '0', false)")
        yield Locks(session)
    finally:
        session.close()
